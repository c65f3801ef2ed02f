package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// driftPlans plans one stack against states in which somebody else has changed attributes.
type driftPlans struct {
	t       testing.TB
	dir     string
	env     []string
	stack   stacks.Stack
	state   map[string]any
	schemas map[string]schemaBlock // by type
	sets    map[string]bool        // "type.attribute" that a module sets
	growths []stacks.Growth
}

// schemaBlock and schemaAttribute are what `terraform providers schema -json` says.
type schemaBlock struct {
	Attributes map[string]schemaAttribute `json:"attributes"`
	BlockTypes map[string]struct {
		NestingMode string      `json:"nesting_mode"`
		Block       schemaBlock `json:"block"`
	} `json:"block_types"`
}

type schemaAttribute struct {
	Optional  bool `json:"optional"`
	Required  bool `json:"required"`
	Computed  bool `json:"computed"`
	WriteOnly bool `json:"write_only"`
}

func newDriftPlans(m *meridian, stack stacks.Stack, state []byte, env []string) *driftPlans {
	t := m.site.t
	t.Helper()
	b := &driftPlans{t: t, dir: t.TempDir(), stack: stack, schemas: map[string]schemaBlock{}, sets: map[string]bool{}}
	b.must(json.Unmarshal(state, &b.state))
	for _, f := range stack.Files {
		b.write(f.Path, f.Content)
		b.read(f.Path, f.Content)
	}
	mirrors := fmt.Sprintf("  filesystem_mirror {\n    path = %q\n    include = [\"%s/*/*\"]\n  }\n", terraform.Site{Root: m.site.data}.Mirror(), strings.Split(ownPlugin, "/")[0])
	for source, dir := range launch.ExistingMirrors(os.Environ(), stack.Providers) {
		mirrors += fmt.Sprintf("  filesystem_mirror {\n    path = %q\n    include = [%q]\n  }\n", dir, source)
	}
	b.write("terraformrc", []byte("provider_installation {\n"+mirrors+"}\n"))
	b.env = append(append(os.Environ(), env...), "TF_CLI_CONFIG_FILE="+filepath.Join(b.dir, "terraformrc"), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	for variable := range stack.Secrets {
		b.env = append(b.env, "TF_VAR_"+variable+"=not-a-secret")
	}
	b.terraform("init", "-input=false")
	var said struct {
		Providers map[string]struct {
			Types map[string]struct {
				Block schemaBlock `json:"block"`
			} `json:"resource_schemas"`
		} `json:"provider_schemas"`
	}
	b.must(json.Unmarshal(b.terraform("providers", "schema", "-json"), &said))
	for _, p := range said.Providers {
		for typ, s := range p.Types {
			b.schemas[typ] = s.Block
		}
	}
	return b
}

// ownPlugin is the source of the plugin behind provider local.
const ownPlugin = "meridian.internal/meridian/localdb"

func (b *driftPlans) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *driftPlans) write(path string, content []byte) {
	b.t.Helper()
	path = filepath.Join(b.dir, filepath.FromSlash(path))
	b.must(os.MkdirAll(filepath.Dir(path), 0o755))
	b.must(os.WriteFile(path, content, 0o600))
}

// read takes down what the resources of a file set.
func (b *driftPlans) read(path string, content []byte) {
	b.t.Helper()
	if filepath.Ext(path) != ".tf" {
		return
	}
	parsed, ds := hclsyntax.ParseConfig(content, path, hcl.InitialPos)
	if ds.HasErrors() {
		b.t.Fatal(ds)
	}
	for _, block := range parsed.Body.(*hclsyntax.Body).Blocks {
		if block.Type != "resource" {
			continue
		}
		typ := block.Labels[0]
		for name := range block.Body.Attributes {
			b.sets[typ+"."+name] = true
		}
		for _, inner := range block.Body.Blocks {
			if inner.Type == "dynamic" {
				b.sets[typ+"."+inner.Labels[0]] = true
			}
			b.sets[typ+"."+inner.Type] = true
		}
	}
}

func (b *driftPlans) terraform(args ...string) []byte {
	b.t.Helper()
	out, err := b.tryTerraform(args...)
	b.must(err)
	return out
}

func (b *driftPlans) tryTerraform(args ...string) ([]byte, error) {
	cmd := exec.Command("terraform", args...)
	cmd.Dir, cmd.Env = b.dir, b.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("terraform %s: %w\n%s%s", args[0], err, out.String(), errs.String())
	}
	return out.Bytes(), nil
}

// attributes lists the attributes and blocks of the types in the state ("type.attribute") that are as wanted, but those that are in no state.
func (b *driftPlans) attributes(wanted func(a schemaAttribute, set bool) bool) (out []string) {
	b.t.Helper()
	for _, r := range b.state["resources"].([]any) {
		typ := r.(map[string]any)["type"].(string)
		schema, ok := b.schemas[typ]
		if !ok {
			b.t.Fatalf("no plugin tells of %s", typ)
		}
		for name, a := range schema.Attributes {
			if !a.WriteOnly && name != "id" && wanted(a, b.sets[typ+"."+name]) { // others are made from an ID
				out = append(out, typ+"."+name)
			}
		}
		for name := range schema.BlockTypes {
			if name != "timeouts" && wanted(schemaAttribute{Optional: true}, b.sets[typ+"."+name]) { // how long terraform waits is in no world
				out = append(out, typ+"."+name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wantSeen wants each of these to be told where all of them moved. What forces a replacement hides what does not, so what is not told is looked
// at again without what was.
func (b *driftPlans) wantSeen(left []string) {
	b.t.Helper()
	for len(left) > 0 {
		seen := b.after(left)
		before := len(left)
		left = slices.DeleteFunc(left, func(a string) bool { return seen[a] })
		if len(left) == before {
			break
		}
	}
	for _, a := range left {
		b.t.Errorf("%s moved, and nothing tells: let a plan see it, or say in the table why none does", a)
	}
}

// after lets these attributes have moved in every object of the state, and returns which of them are told as drift.
func (b *driftPlans) after(moved []string) map[string]bool {
	b.t.Helper()
	told, err := b.tryAfter(moved)
	b.must(err)
	return told
}

// tryAfter is after where terraform may refuse to plan.
func (b *driftPlans) tryAfter(moved []string) (map[string]bool, error) {
	b.t.Helper()
	text, err := json.Marshal(b.state)
	b.must(err)
	var state map[string]any
	b.must(json.Unmarshal(text, &state))
	for _, r := range state["resources"].([]any) {
		r := r.(map[string]any)
		for _, i := range r["instances"].([]any) {
			attributes := i.(map[string]any)["attributes"].(map[string]any)
			for name, v := range attributes {
				if slices.Contains(moved, r["type"].(string)+"."+name) {
					attributes[name] = otherValue(v)
				}
			}
		}
	}
	text, err = json.Marshal(state)
	b.must(err)
	b.write("terraform.tfstate", text)
	if _, err := b.tryTerraform("plan", "-no-color", "-input=false", "-refresh=false", "-lock=false", "-out="+terraform.PlanFile); err != nil {
		return nil, err
	}
	read, err := terraform.ReadPlan(b.planFile(), b.stack.DataBearing)
	if errors.Is(err, terraform.ErrPlanVersion) { // a replacement does not say what is sensitive
		read, err = terraform.ChangesFromShow(b.terraform("show", "-json", terraform.PlanFile), b.stack.DataBearing)
	}
	b.must(err)
	b.must(terraform.MarkEchoes(b.planFile(), read.Changes))
	drift, unapplied := stacks.FindDrift(stacks.DriftInput{Region: b.stack.ID.Region, Settled: true, Plan: read.Changes, Growths: b.growths})
	if len(unapplied) > 0 {
		b.t.Errorf("what the world did is told as not applied yet: %+v", unapplied)
	}
	told := map[string]bool{}
	for _, d := range drift {
		first, _, _ := strings.Cut(strings.ReplaceAll(d.Path, "[", "."), ".")
		told[terraform.ResourceType(d.Subject)+"."+first] = true
	}
	return told, nil
}

func (b *driftPlans) planFile() []byte {
	b.t.Helper()
	plan, err := os.ReadFile(filepath.Join(b.dir, terraform.PlanFile))
	b.must(err)
	return plan
}

// wantRefreshed holds the same of what only the refresh tells, as where a plan lets an attribute be that the module sets.
func (b *driftPlans) wantRefreshed(computed, set []string) {
	b.t.Helper()
	for _, c := range []struct {
		names []string
		told  bool
	}{{computed, false}, {set, true}} {
		for _, name := range c.names {
			typ, attribute, _ := strings.Cut(name, ".")
			for _, address := range b.addresses(typ) {
				grows := slices.ContainsFunc(b.growths, func(g stacks.Growth) bool { return g.Type == typ && g.Path == attribute })
				for _, way := range [][2]string{{"1", "2"}, {"2", "1"}} {
					moved, err := terraform.MovedAttributes(b.planFile(), []stacks.Change{{
						Address: address, Type: typ, Action: stacks.ActionUpdate, Attributes: []stacks.AttributeChange{{Path: attribute, Before: way[0], After: way[1]}},
					}})
					b.must(err)
					want := c.told && !(grows && way[1] > way[0])
					if told, _ := stacks.FindDrift(stacks.DriftInput{Region: "x", Settled: true, Moved: moved, Growths: b.growths}); (len(told) == 1) != want {
						b.t.Errorf("the refresh found %s to have moved in %s from %s to %s: told is %v, want %t", attribute, address, way[0], way[1], told, want)
					}
				}
			}
		}
	}
}

// addresses are the addresses of a type in the state.
func (b *driftPlans) addresses(typ string) (out []string) {
	b.t.Helper()
	text, err := json.Marshal(b.state)
	b.must(err)
	file, err := terraform.ReadState(text)
	b.must(err)
	for _, r := range file.Resources {
		if r.Type == typ {
			out = append(out, r.Address)
		}
	}
	return out
}

// otherValue is another value of the same kind.
func otherValue(v any) any {
	switch v := v.(type) {
	case string:
		return v + "x"
	case float64:
		return v + 1
	case bool:
		return !v
	case []any:
		if len(v) == 0 { // nobody knows of what
			return v
		}
		out := slices.Clone(v)
		out[0] = otherValue(v[0])
		return out
	case map[string]any:
		out := maps.Clone(v)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if _, is := v[key].(string); is {
				out[key] = otherValue(v[key])
			}
		}
		if len(v) == 0 {
			out["somebody"] = "else"
		}
		return out
	}
	return v
}
