package plugin

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"meridian/providers/local/server"
)

// ValidateConfig refuses what no server can be.
func (postgres) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config model
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() || config.unknown() {
		return
	}
	if config.Port.IsNull() {
		config.Port = types.Int64Value(defaultPort)
	}
	if err := config.spec().Check(); err != nil {
		resp.Diagnostics.AddError("This server cannot be", err.Error())
	}
}

// unknown reports whether something that a look needs will only be known at apply.
func (m model) unknown() bool {
	if m.Settings.IsUnknown() {
		return true
	}
	for _, v := range m.Settings.Elements() {
		if v.IsUnknown() {
			return true
		}
	}
	return m.DataDir.IsUnknown() || m.Owner.IsUnknown() || m.Address.IsUnknown() || m.Port.IsUnknown() || m.EngineVersion.IsUnknown()
}

// ModifyPlan refuses at plan what an apply could only fail at: another major version, another owner. A place that is taken is only warned
// of, and refused by the apply: terraform plans as for an apply before it plans a destroy, and a destroy must not be hindered.
func (postgres) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return // a destroy
	}
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() || plan.unknown() {
		return
	}
	if req.State.Raw.IsNull() {
		planCreate(ctx, plan, resp)
		return
	}
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if state.DataDir.ValueString() != plan.DataDir.ValueString() {
		return // a replacement: everything may be another
	}
	if state.Status.ValueString() == statusGone {
		resp.RequiresReplace = append(resp.RequiresReplace, path.Root("status")) // not an update: nothing is left of the old one
		return
	}
	if state.Owner.ValueString() != plan.Owner.ValueString() {
		resp.Diagnostics.AddAttributeError(path.Root("owner"), "A server does not change its owner",
			fmt.Sprintf("The server in %s belongs to %s.", state.DataDir.ValueString(), state.Owner.ValueString()))
	}
	if have, want := server.Major(state.EngineVersion.ValueString()), server.Major(plan.EngineVersion.ValueString()); have != want {
		resp.Diagnostics.AddAttributeError(path.Root("engine_version"), "A server does not change its major version in place",
			fmt.Sprintf("It runs PostgreSQL %d, and %d is asked for. Make a new database of that version and copy the data.", have, want))
	}
	if plan.Version.IsUnknown() && !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("version"), versionAfter(ctx, plan, state))...)
	}
	if state.SystemIdentifier.IsNull() { // imported while it was stopped: it says what it is once it runs
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("system_identifier"), types.StringUnknown())...)
	}
}

// versionAfter is the version after an update: that of now, unless the programs that the update may start are others.
func versionAfter(ctx context.Context, plan, state model) types.String {
	next, err := plan.spec().WouldRun(ctx)
	if err != nil || next != state.Version.ValueString() {
		return types.StringUnknown()
	}
	return state.Version
}

const placeTaken = "The server's place is taken: an apply will fail"

// planCreate looks whether the place of a new server is free, or holds what an interrupted create of ours has left.
func planCreate(ctx context.Context, plan model, resp *resource.ModifyPlanResponse) {
	spec := plan.spec()
	sight, err := server.Look(ctx, spec.Home, spec.Owner)
	if err != nil {
		explain(&resp.Diagnostics, "The server's place cannot be looked at", err)
		return
	}
	switch sight.State {
	case server.StateForeign:
		resp.Diagnostics.AddWarning(placeTaken, sight.Message)
	case server.StateAbsent:
		if err := server.Vacant(ctx, spec); err != nil {
			resp.Diagnostics.AddWarning(placeTaken, err.Error())
		}
	}
}
