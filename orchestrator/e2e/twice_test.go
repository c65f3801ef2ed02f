package e2e

import (
	"context"
	"os"
	"regexp"
	"slices"

	"meridian/orchestrator"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// meridianAPI is what a story asks a Meridian for, in this process or in a server.
type meridianAPI interface {
	runs
	Submit(ctx context.Context, in orchestrator.SubmitRequest) (orchestrator.SubmitResult, error)
	Terraform(ctx context.Context, in orchestrator.TerraformRequest) (orchestrator.TerraformView, error)
}

// createdTwice forgets every object of a region's state, and applies again until nothing is refused any more. The objects are of all types
// that the module's rows in modules/README.md name.
func (m *meridian) createdTwice(in meridianAPI, module, region, spec string) {
	m.site.t.Helper()
	m.loseState(in, region, typesOf(m.site, module))
	apply := func() orchestrator.RunView {
		m.site.t.Helper()
		res, err := in.Submit(context.Background(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Yes: true, Actor: "test"})
		if err != nil {
			m.site.t.Fatal(err)
		}
		return m.site.rest(in, res.Runs[0].ID)
	}
	v := apply()
	if v.Phase == stacks.PhaseFailed { // a name that is taken ends the first apply; the next one looks
		v = apply()
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
func (m *meridian) loseState(in meridianAPI, region string, types []string) {
	t, ctx := m.site.t, context.Background()
	t.Helper()
	state, err := m.journal.LatestState(ctx, stacks.StackID{Namespace: stacks.DefaultNamespace, Name: "orders", Incarnation: m.incarnation("orders"), Region: region})
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
	forget := orchestrator.TerraformRequest{Namespace: stacks.DefaultNamespace, Name: "orders", Region: region, Args: args, Actor: "ada"}
	shown, err := in.Terraform(ctx, forget)
	if err != nil {
		t.Fatalf("%v: %+v", args, err)
	}
	forget.Approve = shown.Digest
	if _, err := in.Terraform(ctx, forget); err != nil {
		t.Fatalf("%v: %+v", args, err)
	}
}
