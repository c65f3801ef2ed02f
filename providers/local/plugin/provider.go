// Package plugin is the Terraform plugin behind provider local: resources on top of the life of a PostgreSQL server
// and of directories beside it.
//
// It must never keep a password beyond the call that brought it, never put one into a state, a plan or a diagnostic, and never touch a
// server without the owner mark of its resource.
package plugin

import (
	"context"

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

// Configure has nothing to do.
func (localdb) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}

// DataSources lists none.
func (localdb) DataSources(context.Context) []func() datasource.DataSource { return nil }

// Resources lists the resources.
func (localdb) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return postgres{} }, func() resource.Resource { return dir{} }}
}
