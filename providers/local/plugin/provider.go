// Package plugin is the Terraform plugin behind provider local: resources on top of the life of a PostgreSQL server
// and of directories beside it.
//
// It must never keep a password beyond the call that brought it, never put one into a state, a plan or a diagnostic, and never touch a
// server without the owner mark of its resource.
package plugin

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

// Address is the provider's source address.
const Address = "meridian.internal/meridian/localdb"

type localdb struct{}

var _ provider.Provider = localdb{}

// New returns what makes the provider. Its version is the mirror's, made from the plugin's content: it names none itself, so that a build
// of the same code is the same file.
func New() func() provider.Provider {
	return func() provider.Provider { return localdb{} }
}

// Metadata names the provider.
func (localdb) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "localdb"
}

// Schema says that there is nothing to configure.
func (localdb) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{Description: "Database servers on this machine."}
}

// Configure has nothing to set; it sees to it that servers do not inherit that terraform is ended first where memory runs out.
func (localdb) Configure(_ context.Context, _ provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	if err := ordinaryOOM(); err != nil {
		resp.Diagnostics.AddWarning("Servers may be ended first where memory runs out", err.Error())
	}
}

// ordinaryOOM takes back what terraform, and so this process, was given: an oom_score_adj above that of an ordinary process.
func ordinaryOOM() error {
	const path = "/proc/self/oom_score_adj"
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || now <= 0 {
		return err
	}
	return os.WriteFile(path, []byte("0"), 0o600)
}

// DataSources lists none.
func (localdb) DataSources(context.Context) []func() datasource.DataSource { return nil }

// Resources lists the resources.
func (localdb) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return postgres{} }, func() resource.Resource { return dir{} }, func() resource.Resource { return node{} }}
}
