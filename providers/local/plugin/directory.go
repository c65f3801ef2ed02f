package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"meridian/providers/local/directory"
	"meridian/providers/local/server"
)

// dir is the resource localdb_directory: a directory beside a server.
type dir struct{}

var _ resource.ResourceWithImportState = dir{}

// dirModel is a localdb_directory as Terraform sees it.
type dirModel struct {
	Path  types.String `tfsdk:"path"`
	Owner types.String `tfsdk:"owner"`
	Note  types.String `tfsdk:"note"`
	Birth types.String `tfsdk:"birth"`
}

// Metadata names the resource.
func (dir) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_directory"
}

// Schema says what a directory is.
func (dir) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	replace := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	resp.Schema = schema.Schema{
		Description: "A directory on this machine, with its owner's mark in it. One that is there already is no new one: import it.",
		Attributes: map[string]schema.Attribute{
			"path":  schema.StringAttribute{Required: true, Description: "The directory, an absolute path.", PlanModifiers: replace},
			"owner": schema.StringAttribute{Required: true, Description: "The mark by which the directory is known as this resource's.", PlanModifiers: replace},
			"note":  schema.StringAttribute{Required: true, Description: "A word for people, kept in the mark."},
			"birth": schema.StringAttribute{
				Computed: true, Description: "What tells this directory from a later one of the same path.",
				PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
		},
	}
}

func (m dirModel) spec() directory.Spec {
	return directory.Spec{Path: filepath.Clean(m.Path.ValueString()), Owner: m.Owner.ValueString(), Note: m.Note.ValueString()}
}

// Create makes the directory.
func (dir) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan dirModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	end := begin("create", plan.spec().Path)
	holdUp(ctx)
	mark, err := directory.Create(plan.spec())
	holdUp(ctx)
	end(err)
	if err != nil {
		explain(&resp.Diagnostics, "The directory was not made", err)
		return
	}
	plan.Birth = types.StringValue(mark.Birth)
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

// Read looks at the directory. One that is gone is no resource any more.
func (dir) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state dirModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	mark, err := directory.Look(state.spec().Path, state.Owner.ValueString())
	if errors.Is(err, fs.ErrNotExist) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		explain(&resp.Diagnostics, "The directory cannot be looked at", err)
		return
	}
	state.Owner, state.Note, state.Birth = types.StringValue(mark.Owner), types.StringValue(mark.Note), types.StringValue(mark.Birth)
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

// Update writes another note into the mark.
func (dir) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan dirModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	end := begin("update", plan.spec().Path)
	holdUp(ctx)
	mark, err := directory.Update(plan.spec())
	end(err)
	if err != nil {
		explain(&resp.Diagnostics, "The directory was not changed", err)
		return
	}
	plan.Birth = types.StringValue(mark.Birth)
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

// Delete removes the directory with what it holds.
func (dir) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state dirModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	end := begin("delete", state.spec().Path)
	holdUp(ctx)
	err := directory.Remove(state.spec().Path, state.Owner.ValueString())
	end(err)
	if err != nil {
		explain(&resp.Diagnostics, "The directory was not removed", err)
	}
}

// ImportState finds a directory by its path; its mark says what it is.
func (dir) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if !filepath.IsAbs(req.ID) {
		resp.Diagnostics.AddError("No such import ID", fmt.Sprintf("%q is not a directory's absolute path.", req.ID))
		return
	}
	mark, err := directory.Look(filepath.Clean(req.ID), "")
	if err != nil || mark.Birth == "" {
		resp.Diagnostics.AddAttributeError(path.Root("path"), "No directory to import", fmt.Sprintf("There is none with a mark in it at %s.", req.ID))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, dirModel{
		Path: types.StringValue(mark.Path), Owner: types.StringValue(mark.Owner), Note: types.StringValue(mark.Note), Birth: types.StringValue(mark.Birth),
	})...)
}

// holdUp waits for a random part of server.EnvDelay, before and after a directory is made: for tests that kill in the middle. An apply
// that is told to stop does not wait on.
func holdUp(ctx context.Context) {
	most, err := time.ParseDuration(os.Getenv(server.EnvDelay))
	if err != nil || most <= 0 {
		return
	}
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
