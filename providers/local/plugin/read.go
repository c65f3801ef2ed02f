package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"meridian/providers/local/server"
)

// stampKey holds, in the resource's private state, what the stored form of the password was when we last set it.
const stampKey = "password_stamp"

// statusGone is the status of a server whose data is gone while its home has our mark still: a removal that was killed half-way. It stays
// a resource, so that a destroy removes the rest.
const statusGone = "gone"

// Read looks at the server. One whose directory is gone is no resource any more; one that is stopped, or whose address another process
// holds, is in its status; one whose password somebody else has set has no password version.
func (postgres) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	wished := state.spec()
	sight, err := server.Look(ctx, wished.Home, wished.Owner)
	if err != nil {
		explain(&resp.Diagnostics, "The server cannot be looked at", err)
		return
	}
	switch sight.State {
	case server.StateAbsent:
		if sight.Spec.Home == "" {
			resp.State.RemoveResource(ctx)
			return
		}
		state.Status = types.StringValue(statusGone)
		resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
		return
	case server.StateForeign:
		state.Status = types.StringValue(string(server.StateForeign))
		resp.Diagnostics.AddWarning(placeTaken, sight.Message)
		resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
		return
	case server.StateStopped:
		state.Status = types.StringValue(string(server.StateStopped))
		resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
		return
	}
	info, err := server.Inspect(ctx, wished)
	if err != nil {
		explain(&resp.Diagnostics, "The server does not say what it is", err)
		return
	}
	known, diags := req.Private.GetKey(ctx, stampKey)
	resp.Diagnostics.Append(diags...)
	fill(&state, info, known)
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

// fill writes what a running server said into the state, in the state's own words where they mean the same.
func fill(state *model, info server.Info, known []byte) {
	state.Name = types.StringValue(info.Has.Name)
	state.Address = types.StringValue(info.Has.Address)
	state.Port = types.Int64Value(int64(info.Has.Port))
	if !server.Satisfies(info.Version, state.EngineVersion.ValueString()) {
		state.EngineVersion = types.StringValue(info.Version)
	}
	state.Settings = mapOf(info.Has.Settings)
	state.AdminUser = types.StringValue(server.AdminUser)
	state.Status = types.StringValue(string(server.StateRunning))
	state.SystemIdentifier = types.StringValue(info.SystemIdentifier)
	state.Version = types.StringValue(info.Version)
	if info.Has.PasswordVersion == 0 || known != nil && string(known) != string(stampJSON(info.PasswordStamp)) {
		state.AdminPasswordWOVersion = types.Int64Null()
	}
}

func mapOf(settings map[string]string) types.Map {
	if settings == nil {
		return types.MapNull(types.StringType)
	}
	values := make(map[string]attr.Value, len(settings))
	for name, text := range settings {
		values[name] = types.StringValue(text)
	}
	return types.MapValueMust(types.StringType, values)
}

// stampJSON is the stamp as private state holds it: JSON.
func stampJSON(stamp string) []byte { return []byte(strconv.Quote(stamp)) }

// ImportState finds a server by its directory, or by the address and port on which it runs; its marker says what it should be.
func (postgres) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	home := req.ID
	if !filepath.IsAbs(home) {
		at, err := netip.ParseAddrPort(req.ID)
		if err != nil {
			resp.Diagnostics.AddError("No such import ID", fmt.Sprintf("%q is neither a server's directory (an absolute path) nor its address:port.", req.ID))
			return
		}
		if home, err = server.HomeAt(at.Addr().String(), int(at.Port())); err != nil {
			explain(&resp.Diagnostics, "No server to import", err)
			return
		}
	}
	spec, err := server.MarkedSpec(filepath.Clean(home))
	if errors.Is(err, fs.ErrNotExist) {
		resp.Diagnostics.AddError("No server to import", fmt.Sprintf("There is none in %s.", home))
		return
	}
	if err != nil {
		explain(&resp.Diagnostics, "No server to import", err)
		return
	}
	state := model{
		Name: types.StringValue(spec.Name), Owner: types.StringValue(spec.Owner), Address: types.StringValue(spec.Address), Port: types.Int64Value(int64(spec.Port)),
		DataDir: types.StringValue(spec.Home), EngineVersion: types.StringValue(spec.EngineVersion), Settings: mapOf(spec.Settings),
		AdminPasswordWOVersion: types.Int64Value(spec.PasswordVersion),
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}
