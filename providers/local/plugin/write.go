package plugin

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"meridian/providers"
	"meridian/providers/local/server"
)

// Bounds of one change: making a server takes about a second, recovering one after a crash may take minutes.
const (
	ensureFor  = 5 * time.Minute
	destroyFor = 2 * time.Minute
)

// Create makes the server, or adopts the one that an interrupted create has left.
func (postgres) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	password := passwordOf(ctx, req.Config, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	end := begin("create", plan.DataDir.ValueString())
	stamp, err := ensure(ctx, &plan, password)
	end(err)
	if err != nil {
		explain(&resp.Diagnostics, "The server was not made", err)
		return // nothing is kept in the state: the next create adopts what is there
	}
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, stampKey, stampJSON(stamp))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

// Update changes the server in place, and starts a stopped one.
func (postgres) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	password := passwordOf(ctx, req.Config, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	end := begin("update", plan.DataDir.ValueString())
	stamp, err := ensure(ctx, &plan, password)
	end(err)
	if err != nil {
		explain(&resp.Diagnostics, "The server was not changed", err)
		return
	}
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, stampKey, stampJSON(stamp))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

// Delete stops the server and removes its directory.
func (postgres) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	home := state.DataDir.ValueString()
	if state.DeletionProtection.ValueBool() {
		resp.Diagnostics.AddAttributeError(path.Root("deletion_protection"), "The server is protected",
			"The server in "+home+" is not removed while its deletion_protection is true. Apply it with false first.")
		return
	}
	end := begin("delete", home)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyFor) // short, and half a removal helps nobody
	defer cancel()
	err := server.Destroy(ctx, home, state.Owner.ValueString())
	end(err)
	if err != nil {
		explain(&resp.Diagnostics, "The server was not removed", err)
	}
}

// ensure makes the server as planned and fills in what is computed.
func ensure(ctx context.Context, plan *model, password server.Password) (stamp string, err error) {
	ctx, cancel := context.WithTimeout(ctx, ensureFor)
	defer cancel()
	info, err := server.Ensure(ctx, plan.spec(), password)
	if err != nil {
		return "", err
	}
	plan.AdminUser = types.StringValue(server.AdminUser)
	plan.Status = types.StringValue(string(server.StateRunning))
	plan.SystemIdentifier = types.StringValue(info.SystemIdentifier)
	if plan.Version.IsUnknown() { // else other programs were installed since the plan, and the next look says so
		plan.Version = types.StringValue(info.Version)
	}
	return info.PasswordStamp, nil
}

// passwordOf reads the write-only password, which only the configuration has.
func passwordOf(ctx context.Context, config tfsdk.Config, diags *diag.Diagnostics) server.Password {
	var m model
	diags.Append(config.Get(ctx, &m)...)
	return server.Password(m.AdminPasswordWO.ValueString())
}

// explain turns an error into a diagnostic. No error of package server holds a password.
func explain(diags *diag.Diagnostics, summary string, err error) {
	if errors.Is(err, providers.ErrForeign) {
		summary += ": something there is not ours"
	}
	diags.AddError(summary, err.Error())
}
