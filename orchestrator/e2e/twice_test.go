package e2e

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"meridian/orchestrator"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestCreatedTwice loses the state of a region with a server and directories beside it: the next applies find each again, and make nothing a
// second time.
func TestCreatedTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	srv := s.serve(beside(2, 0))
	m := s.look()
	spec := strings.Replace(legacySpec("", "8MB"), `version: "", `, "", 1)
	srv.wantDone(srv.submitApproved(spec))
	home := m.home("orders", "ankara")
	before, err := pgserver.Look(t.Context(), home, "")
	if err != nil {
		t.Fatal(err)
	}
	m.createdTwice(srv, "local-postgres", "orders", "ankara", spec)
	after, err := pgserver.Look(t.Context(), home, "")
	if err != nil || after.PID != before.PID || after.State != pgserver.StateRunning {
		t.Errorf("the server was %+v and is %+v, %v", before, after, err)
	}
	if n := len(m.servers()); n != 1 {
		t.Errorf("%d servers run, want 1", n)
	}
	if again := srv.submitApprovedOrDone(spec); again.HasChanges {
		t.Errorf("the next apply changes %+v", again.Changes)
	}
}

// meridianAPI is what a story asks a Meridian for, in this process or in a server.
type meridianAPI interface {
	runs
	Submit(ctx context.Context, in orchestrator.SubmitRequest) (orchestrator.SubmitResult, error)
	Terraform(ctx context.Context, in orchestrator.TerraformRequest) (orchestrator.TerraformView, error)
}

// createdTwice forgets every object of a region's state, and applies again until nothing is refused any more. The objects are of all types
// that the module's rows in modules/README.md name.
func (m *meridian) createdTwice(in meridianAPI, module, name, region, spec string) {
	m.site.t.Helper()
	types := typesOf(m.site, module)
	m.loseState(in, name, region, types)
	apply := func() orchestrator.RunView {
		m.site.t.Helper()
		res, err := in.Submit(context.Background(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Yes: true, Actor: "test"})
		if err != nil {
			m.site.t.Fatal(err)
		}
		return m.site.rest(in, res.Runs[0].ID)
	}
	v := apply()
	for range types { // a name that is taken ends an apply, and the next one looks; what is made of another comes after it
		if v.Phase == stacks.PhaseFailed {
			v = apply()
		}
	}
	if v.Phase != stacks.PhaseDone {
		m.site.t.Fatalf("after the state was lost the run is %s: %s\n%s", v.Phase, v.Message, logOf(in, v.ID))
	}
}

// typesOf are the types of resources for which modules/README.md has a row of a module.
func typesOf(s *site, module string) []string {
	s.t.Helper()
	text, err := os.ReadFile("../../modules/README.md")
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, row := range regexp.MustCompile("(?m)^\\| `"+module+"` \\| `([a-z0-9_]+)`").FindAllStringSubmatch(string(text), -1) {
		out = append(out, row[1])
	}
	slices.Sort(out)
	return out
}

// loseState takes every object out of a region's state, as a state that was lost has none; they have to be of exactly these types.
func (m *meridian) loseState(in meridianAPI, name, region string, types []string) {
	t, ctx := m.site.t, context.Background()
	t.Helper()
	state, err := m.journal.LatestState(ctx, stacks.StackID{Namespace: stacks.DefaultNamespace, Name: name, Incarnation: m.incarnation(name), Region: region})
	if err != nil {
		t.Fatal(err)
	}
	file, err := terraform.ReadState(state.Payload)
	if err != nil {
		t.Fatal(err)
	}
	args, has := []string{"state", "rm"}, []string{}
	for _, r := range file.Resources {
		args, has = append(args, r.Address), append(has, r.Type)
	}
	slices.Sort(has)
	if has = slices.Compact(has); !slices.Equal(has, types) {
		t.Fatalf("the state has %q, modules/README.md tells of %q", has, types)
	}
	forget := orchestrator.TerraformRequest{Namespace: stacks.DefaultNamespace, Name: name, Region: region, Args: args, Actor: "ada"}
	shown, err := in.Terraform(ctx, forget)
	if err != nil {
		t.Fatalf("%v: %+v", args, err)
	}
	forget.Approve = shown.Digest
	if _, err := in.Terraform(ctx, forget); err != nil {
		t.Fatalf("%v: %+v", args, err)
	}
}
