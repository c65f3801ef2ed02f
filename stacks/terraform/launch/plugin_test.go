package launch

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"meridian/stacks/terraform"
)

// TestMain is the tests or, when terraform starts this binary as a plugin, a small plugin: a resource that is a file,
// so that plan, apply and drift are real. No other build is needed for it.
func TestMain(m *testing.M) {
	if os.Getenv("TF_PLUGIN_MAGIC_COOKIE") == "" {
		os.Exit(m.Run())
	}
	err := providerserver.Serve(context.Background(), func() provider.Provider { return files{} },
		providerserver.ServeOpts{Address: terraform.LocalDBSource})
	if err != nil {
		log.Fatal(err)
	}
}

type files struct{}

func (files) Metadata(_ context.Context, _ provider.MetadataRequest, r *provider.MetadataResponse) {
	r.TypeName = "localdb"
}
func (files) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse)          {}
func (files) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}
func (files) DataSources(context.Context) []func() datasource.DataSource                        { return nil }
func (files) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return file{} }}
}

type file struct{}

// object is what the file holds.
type object struct{ Content, Secret *string }

// model is the resource; what is written to the file is its content.
type model struct {
	ID       types.String  `tfsdk:"id"`
	Path     types.String  `tfsdk:"path"`
	Content  types.String  `tfsdk:"content"`
	Secret   types.String  `tfsdk:"secret"`
	SecretWO types.String  `tfsdk:"secret_wo"`
	Ratio    types.Float64 `tfsdk:"ratio"`
	Settings types.Map     `tfsdk:"settings"`
	Rules    types.Set     `tfsdk:"rules"`
}

func (file) Metadata(_ context.Context, _ resource.MetadataRequest, r *resource.MetadataResponse) {
	r.TypeName = "localdb_file"
}

func (file) Schema(_ context.Context, _ resource.SchemaRequest, r *resource.SchemaResponse) {
	r.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"id":        schema.StringAttribute{Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}},
		"path":      schema.StringAttribute{Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()}},
		"content":   schema.StringAttribute{Optional: true},
		"secret":    schema.StringAttribute{Optional: true, Sensitive: true},
		"secret_wo": schema.StringAttribute{Optional: true, Sensitive: true, WriteOnly: true},
		"ratio":     schema.Float64Attribute{Optional: true},
		"settings":  schema.MapAttribute{Optional: true, ElementType: types.StringType},
		"rules": schema.SetNestedAttribute{Optional: true, NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"port": schema.Int64Attribute{Required: true},
			"key":  schema.StringAttribute{Optional: true, Sensitive: true},
		}}},
	}}
}

func (file) Create(ctx context.Context, q resource.CreateRequest, r *resource.CreateResponse) {
	var m model
	r.Diagnostics.Append(q.Plan.Get(ctx, &m)...)
	if err := m.write(); err != nil {
		r.Diagnostics.AddError("Write the file", err.Error())
		return
	}
	r.Diagnostics.Append(r.State.Set(ctx, m)...)
}

func (file) Update(ctx context.Context, q resource.UpdateRequest, r *resource.UpdateResponse) {
	var m model
	r.Diagnostics.Append(q.Plan.Get(ctx, &m)...)
	if err := m.write(); err != nil {
		r.Diagnostics.AddError("Write the file", err.Error())
		return
	}
	r.Diagnostics.Append(r.State.Set(ctx, m)...)
}

func (file) Read(ctx context.Context, q resource.ReadRequest, r *resource.ReadResponse) {
	var m model
	r.Diagnostics.Append(q.State.Get(ctx, &m)...)
	text, err := os.ReadFile(m.Path.ValueString())
	switch {
	case errors.Is(err, os.ErrNotExist):
		r.State.RemoveResource(ctx)
		return
	case err != nil:
		r.Diagnostics.AddError("Read the file", err.Error())
		return
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		r.Diagnostics.AddError("Read the file", err.Error())
		return
	}
	m.Content, m.Secret = types.StringPointerValue(o.Content), types.StringPointerValue(o.Secret)
	r.Diagnostics.Append(r.State.Set(ctx, m)...)
}

func (file) Delete(ctx context.Context, q resource.DeleteRequest, r *resource.DeleteResponse) {
	var m model
	r.Diagnostics.Append(q.State.Get(ctx, &m)...)
	if err := os.Remove(m.Path.ValueString()); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.Diagnostics.AddError("Remove the file", err.Error())
	}
}

func (m *model) write() error {
	m.ID = m.Path
	m.SecretWO = types.StringNull()
	text, err := json.Marshal(object{m.Content.ValueStringPointer(), m.Secret.ValueStringPointer()})
	if err != nil {
		return err
	}
	return os.WriteFile(m.Path.ValueString(), text, 0o600)
}
