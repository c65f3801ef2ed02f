package plugin

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"meridian/providers/local/server"
)

// postgres is the resource localdb_postgres: one server.
type postgres struct{}

var (
	_ resource.ResourceWithModifyPlan     = postgres{}
	_ resource.ResourceWithImportState    = postgres{}
	_ resource.ResourceWithValidateConfig = postgres{}
)

// model is a localdb_postgres as Terraform sees it.
type model struct {
	Name                   types.String `tfsdk:"name"`
	Owner                  types.String `tfsdk:"owner"`
	Address                types.String `tfsdk:"address"`
	Port                   types.Int64  `tfsdk:"port"`
	DataDir                types.String `tfsdk:"data_dir"`
	EngineVersion          types.String `tfsdk:"engine_version"`
	Settings               types.Map    `tfsdk:"settings"`
	AdminUser              types.String `tfsdk:"admin_user"`
	AdminPasswordWO        types.String `tfsdk:"admin_password_wo"`
	AdminPasswordWOVersion types.Int64  `tfsdk:"admin_password_wo_version"`
	DeletionProtection     types.Bool   `tfsdk:"deletion_protection"`
	Status                 types.String `tfsdk:"status"`
	SystemIdentifier       types.String `tfsdk:"system_identifier"`
	Version                types.String `tfsdk:"version"`
}

// Metadata names the resource.
func (postgres) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_postgres"
}

const defaultPort = 5432

// Schema says what a server is.
func (postgres) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		Version:     0, // raise it with an UpgradeState when a state of today can no longer be read
		Description: "A PostgreSQL server on this machine, with a directory and a loopback address of its own. It outlives whoever made it.",
		Attributes: map[string]schema.Attribute{
			"name":  schema.StringAttribute{Required: true, Description: "The server's name, for people: its cluster_name."},
			"owner": schema.StringAttribute{Required: true, Description: "The mark by which the server is known as this resource's. It cannot change."},
			"address": schema.StringAttribute{
				Required: true, Description: "The loopback address on which it listens. Another one restarts it.",
			},
			"port": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(defaultPort), Description: "The port on which it listens. Another one restarts it.",
			},
			"data_dir": schema.StringAttribute{
				Required: true, Description: "The directory that the server owns, an absolute path.",
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"engine_version": schema.StringAttribute{
				Required: true, Description: "A major version (the newest of this machine) or an exact one. The major cannot change.",
			},
			"settings": schema.MapAttribute{
				Optional: true, ElementType: types.StringType, Description: "PostgreSQL's parameters. They are compared by meaning: 64MB is 65536kB.",
			},
			"admin_user": schema.StringAttribute{
				Computed: true, Default: stringdefault.StaticString(server.AdminUser), Description: "The administrator's name.",
			},
			"admin_password_wo": schema.StringAttribute{
				Required: true, WriteOnly: true, Sensitive: true, Description: "The administrator's password. It is in no plan and no state.",
			},
			"admin_password_wo_version": schema.Int64Attribute{
				Required: true, Description: "Counts the changes of the password: another number sets it again.",
			},
			"deletion_protection": schema.BoolAttribute{
				Optional: true, Description: "Whether a destruction of the server is refused. It is lifted in place.",
			},
			"status": schema.StringAttribute{
				Computed: true, Default: stringdefault.StaticString(string(server.StateRunning)),
				Description: "running; a look may find it stopped, gone (without its data), or foreign: another process answers on its address.",
			},
			"system_identifier": schema.StringAttribute{
				Computed: true, Description: "What PostgreSQL calls this cluster, and no other.",
				PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
			"version": schema.StringAttribute{Computed: true, Description: "The exact version that runs."},
		},
	}
}

// spec reads the wish of a plan or the mark of a state.
func (m model) spec() server.Spec {
	s := server.Spec{
		Home: m.DataDir.ValueString(), Name: m.Name.ValueString(), Owner: m.Owner.ValueString(),
		Address: m.Address.ValueString(), Port: int(m.Port.ValueInt64()), EngineVersion: m.EngineVersion.ValueString(),
		PasswordVersion: m.AdminPasswordWOVersion.ValueInt64(),
	}
	if !m.Settings.IsNull() {
		s.Settings = map[string]string{}
		for name, v := range m.Settings.Elements() {
			if text, ok := v.(types.String); ok {
				s.Settings[name] = text.ValueString()
			}
		}
	}
	return s
}
