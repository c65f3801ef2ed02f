package plugin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"meridian/providers/local/cassandra"
	"meridian/providers/local/machine"
	"meridian/providers/local/server"
)

// node is the resource localdb_cassandra: one node, the data centre of a region.
type node struct{}

var (
	_ resource.ResourceWithImportState    = node{}
	_ resource.ResourceWithValidateConfig = node{}
	_ resource.ResourceWithModifyPlan     = node{}
)

// Bounds of one change: a node starts in seconds, and replays a commit log in minutes; one that leaves hands over what it has.
const (
	nodeFor      = 10 * time.Minute
	nodeLeaveFor = 5 * time.Minute
)

// statusUnfinished is the status of a node that runs and whose cluster has no administrator yet: its making was cut short, an update finishes it.
const statusUnfinished = "unfinished"

// nodeModel is a localdb_cassandra as Terraform sees it.
type nodeModel struct {
	Owner           types.String `tfsdk:"owner"`
	Cluster         types.String `tfsdk:"cluster"`
	Datacenter      types.String `tfsdk:"datacenter"`
	Address         types.String `tfsdk:"address"`
	Port            types.Int64  `tfsdk:"port"`
	StoragePort     types.Int64  `tfsdk:"storage_port"`
	Seeds           types.List   `tfsdk:"seeds"`
	DataDir         types.String `tfsdk:"data_dir"`
	EngineVersion   types.String `tfsdk:"engine_version"`
	Settings        types.Map    `tfsdk:"settings"`
	AdminUser       types.String `tfsdk:"admin_user"`
	AdminPasswordWO types.String `tfsdk:"admin_password_wo"`
	Status          types.String `tfsdk:"status"`
	Version         types.String `tfsdk:"version"`
}

// Metadata names the resource.
func (node) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cassandra"
}

// Schema says what a node is.
func (node) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	replace := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	resp.Schema = schema.Schema{
		Description: "A Cassandra node on this machine, a data centre of its cluster, with a directory and a loopback address of its own. It outlives whoever made it.",
		Attributes: map[string]schema.Attribute{
			"owner":          schema.StringAttribute{Required: true, Description: "The mark by which the node is known as this resource's. It cannot change."},
			"cluster":        schema.StringAttribute{Required: true, Description: "The cluster's name.", PlanModifiers: replace},
			"datacenter":     schema.StringAttribute{Required: true, Description: "The node's data centre.", PlanModifiers: replace},
			"address":        schema.StringAttribute{Required: true, Description: "The loopback address on which it listens.", PlanModifiers: replace},
			"port":           schema.Int64Attribute{Required: true, Description: "The port of CQL. Another one restarts it."},
			"storage_port":   schema.Int64Attribute{Required: true, Description: "The port of the nodes among themselves. Another one restarts it."},
			"seeds":          schema.ListAttribute{Required: true, ElementType: types.StringType, Description: "The nodes by which it finds its cluster; the first node is its own."},
			"data_dir":       schema.StringAttribute{Required: true, Description: "The directory that the node owns, an absolute path.", PlanModifiers: replace},
			"engine_version": schema.StringAttribute{Required: true, Description: "A line of versions (5.0: the newest 5.0.x of this machine) or an exact one."},
			"settings": schema.MapAttribute{
				Optional: true, ElementType: types.StringType, Description: "What of cassandra.yaml is set. Another value restarts the node.",
			},
			"admin_user": schema.StringAttribute{
				Computed: true, Default: stringdefault.StaticString(cassandra.AdminUser), Description: "The administrator's name.",
			},
			"admin_password_wo": schema.StringAttribute{
				Required: true, WriteOnly: true, Sensitive: true, Description: "The password of the cluster's administrator, whom its first node makes. It is in no plan and no state.",
			},
			"status": schema.StringAttribute{
				Computed: true, Default: stringdefault.StaticString(string(cassandra.StateRunning)),
				Description: "running; a look may find it stopped, unfinished (without its administrator), gone (without its data), or foreign: another process holds its address.",
			},
			"version": schema.StringAttribute{Computed: true, Description: "The exact version that runs."},
		},
	}
}

// spec reads the wish of a plan or the mark of a state.
func (m nodeModel) spec() cassandra.Spec {
	s := cassandra.Spec{
		Home: filepath.Clean(m.DataDir.ValueString()), Owner: m.Owner.ValueString(), Cluster: m.Cluster.ValueString(), Datacenter: m.Datacenter.ValueString(), Rack: "rack1",
		Address: m.Address.ValueString(), Port: int(m.Port.ValueInt64()), StoragePort: int(m.StoragePort.ValueInt64()), EngineVersion: m.EngineVersion.ValueString(),
	}
	for _, v := range m.Seeds.Elements() {
		if text, ok := v.(types.String); ok {
			s.Seeds = append(s.Seeds, text.ValueString())
		}
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

// unknown reports whether something that a look needs will only be known at apply.
func (m nodeModel) unknown() bool {
	return m.DataDir.IsUnknown() || m.Owner.IsUnknown() || m.Address.IsUnknown() || m.Port.IsUnknown() || m.StoragePort.IsUnknown() || m.EngineVersion.IsUnknown() ||
		m.Cluster.IsUnknown() || m.Datacenter.IsUnknown() || m.Seeds.IsUnknown() || m.Settings.IsUnknown()
}

// ValidateConfig refuses what no node can be.
func (node) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config nodeModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() || config.unknown() {
		return
	}
	if err := config.spec().Check(); err != nil {
		resp.Diagnostics.AddError("This node cannot be", err.Error())
	}
}

// ModifyPlan refuses another owner at plan, and says what an update leaves as it is.
func (node) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || req.State.Raw.IsNull() {
		return
	}
	var plan, state nodeModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() || plan.unknown() {
		return
	}
	if state.Status.ValueString() == statusGone {
		resp.RequiresReplace = append(resp.RequiresReplace, path.Root("status"))
		return
	}
	if state.Owner.ValueString() != plan.Owner.ValueString() {
		resp.Diagnostics.AddAttributeError(path.Root("owner"), "A node does not change its owner",
			fmt.Sprintf("The node in %s belongs to %s.", state.DataDir.ValueString(), state.Owner.ValueString()))
	}
	if plan.Version.IsUnknown() && cassandra.Satisfies(state.Version.ValueString(), plan.EngineVersion.ValueString()) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("version"), state.Version)...)
	}
}

// Create makes the node, or adopts the one that an interrupted create has left.
func (n node) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan, config nodeModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := ensureNode(ctx, "create", &plan, cassandra.Password(config.AdminPasswordWO.ValueString())); err != nil {
		explain(&resp.Diagnostics, "The node was not made", err)
		return // nothing is kept in the state: the next create adopts what is there
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

// Update changes the node's configuration and restarts it, and starts a stopped one.
func (n node) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, config nodeModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := ensureNode(ctx, "update", &plan, cassandra.Password(config.AdminPasswordWO.ValueString())); err != nil {
		explain(&resp.Diagnostics, "The node was not changed", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

func ensureNode(ctx context.Context, op string, plan *nodeModel, password cassandra.Password) (err error) {
	ctx, cancel := context.WithTimeout(ctx, nodeFor)
	defer cancel()
	end := begin(op, plan.DataDir.ValueString())
	defer func() { end(err) }()
	if hold, err := time.ParseDuration(os.Getenv(server.EnvDelay)); err == nil && op == "create" {
		if err := machine.Pause(ctx, hold); err != nil {
			return err
		}
	}
	info, err := cassandra.Ensure(ctx, plan.spec())
	if err != nil {
		return err
	}
	if err := cassandra.EnsureAdmin(ctx, plan.spec(), password); err != nil {
		return err
	}
	plan.AdminUser, plan.Status = types.StringValue(cassandra.AdminUser), types.StringValue(string(cassandra.StateRunning))
	if plan.Version.IsUnknown() {
		plan.Version = types.StringValue(info.Version)
	}
	return nil
}

// Read looks at the node. One whose directory is gone is no resource any more; one that is stopped, or whose address another process
// holds, is in its status; settings that somebody changed in cassandra.yaml are those of the file.
func (node) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state nodeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	home := state.spec().Home
	sight, err := cassandra.Look(ctx, home, state.Owner.ValueString())
	if err != nil {
		explain(&resp.Diagnostics, "The node cannot be looked at", err)
		return
	}
	switch sight.State {
	case cassandra.StateAbsent:
		if sight.Spec.Home == "" {
			resp.State.RemoveResource(ctx)
			return
		}
		state.Status = types.StringValue(statusGone)
	case cassandra.StateForeign:
		state.Status = types.StringValue(string(cassandra.StateForeign))
		resp.Diagnostics.AddWarning(placeTaken, sight.Message)
	case cassandra.StateStopped:
		state.Status = types.StringValue(string(cassandra.StateStopped))
	default:
		state.Status, state.Version = types.StringValue(string(cassandra.StateRunning)), types.StringValue(sight.Version)
		have, err := cassandra.Written(home, state.spec().Settings)
		if err != nil {
			explain(&resp.Diagnostics, "The node's settings cannot be read", err)
			return
		}
		state.Settings = mapOf(have)
		if sight.Unfinished {
			state.Status = types.StringValue(statusUnfinished)
		}
	}
	if state.AdminUser.IsNull() { // imported
		state.AdminUser = types.StringValue(cassandra.AdminUser)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

// Delete takes the node out of its cluster, ends it and removes its directory.
func (node) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state nodeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	s := state.spec()
	end := begin("delete", s.Home)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nodeLeaveFor) // half a removal helps nobody
	defer cancel()
	err := cassandra.LeaveAndDestroy(ctx, s.Home, s.Owner)
	end(err)
	if err != nil {
		explain(&resp.Diagnostics, "The node was not removed", err)
	}
}

// ImportState finds a node by its directory; its marker says what it should be.
func (node) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if !filepath.IsAbs(req.ID) {
		resp.Diagnostics.AddError("No such import ID", fmt.Sprintf("%q is not a node's directory (an absolute path).", req.ID))
		return
	}
	spec, err := cassandra.MarkedSpec(filepath.Clean(req.ID))
	if err != nil {
		resp.Diagnostics.AddError("No node to import", fmt.Sprintf("There is none in %s: %s", req.ID, strings.TrimSpace(err.Error())))
		return
	}
	seeds, diags := types.ListValueFrom(ctx, types.StringType, spec.Seeds)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(resp.State.Set(ctx, nodeModel{
		Owner: types.StringValue(spec.Owner), Cluster: types.StringValue(spec.Cluster), Datacenter: types.StringValue(spec.Datacenter),
		Address: types.StringValue(spec.Address), Port: types.Int64Value(int64(spec.Port)), StoragePort: types.Int64Value(int64(spec.StoragePort)),
		Seeds: seeds, DataDir: types.StringValue(spec.Home), EngineVersion: types.StringValue(spec.EngineVersion), Settings: mapOf(spec.Settings),
	})...)
}
