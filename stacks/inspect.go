package stacks

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	tfaddr "github.com/hashicorp/terraform-registry-address"
	"github.com/zclconf/go-cty/cty"
)

// ModuleFace is what a module shows to its caller, and what it needs.
type ModuleFace struct {
	Variables []ModuleVariable
	Outputs   []ModuleOutput
	// Requires are the providers that its required_providers name, or that its resources imply.
	Requires []ModuleRequirement
	// Resources are the types of its managed resources, each once.
	Resources []string
}

// ModuleVariable is an argument of a module.
type ModuleVariable struct {
	Name string
	// Type is what a value is converted to, with Defaults put in for what optional() leaves out.
	Type     cty.Type
	Defaults *typeexpr.Defaults
	// Required says that it has no default.
	Required, Nullable, Sensitive, Ephemeral bool
}

// ModuleOutput is a result of a module.
type ModuleOutput struct {
	Name                 string
	Sensitive, Ephemeral bool
}

// ModuleRequirement is a provider that a module needs, by its name in the module. Aliases are those that its caller must pass
// ("aws.replica"). Implied says that no required_providers names it.
type ModuleRequirement struct {
	ProviderRequirement
	Aliases []string
	Implied bool
}

// Variable returns the variable of that name.
func (f ModuleFace) Variable(name string) (ModuleVariable, bool) {
	i := slices.IndexFunc(f.Variables, func(v ModuleVariable) bool { return v.Name == name })
	if i < 0 {
		return ModuleVariable{}, false
	}
	return f.Variables[i], true
}

// Output returns the output of that name.
func (f ModuleFace) Output(name string) (ModuleOutput, bool) {
	i := slices.IndexFunc(f.Outputs, func(o ModuleOutput) bool { return o.Name == name })
	if i < 0 {
		return ModuleOutput{}, false
	}
	return f.Outputs[i], true
}

var (
	moduleSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "terraform"}, {Type: "variable", LabelNames: []string{"name"}}, {Type: "output", LabelNames: []string{"name"}},
		{Type: "provider", LabelNames: []string{"name"}},
		{Type: "resource", LabelNames: []string{"type", "name"}}, {Type: "data", LabelNames: []string{"type", "name"}},
		{Type: "ephemeral", LabelNames: []string{"type", "name"}},
	}}
	terraformSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "required_providers"}}}
	variableSchema  = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "default"}, {Name: "nullable"}, {Name: "sensitive"}, {Name: "ephemeral"}}}
	outputSchema    = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "sensitive"}, {Name: "ephemeral"}}}
	resourceSchema  = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "provider"}}}
)

// overrides reports whether terraform takes a file after all others, to change what they declare.
func overrides(f File) bool {
	name := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.Path), ".json"), ".tf")
	return name == "override" || strings.HasSuffix(name, "_override")
}

// Inspect reads what the module in a directory of the files shows. It reads declarations alone and runs nothing.
func Inspect(files []File, dir string) (ModuleFace, error) {
	var face ModuleFace
	var some bool
	implied := map[string]bool{}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int {
		switch {
		case overrides(a) == overrides(b):
			return 0
		case overrides(b):
			return -1
		}
		return 1
	})
	for _, f := range files {
		if path.Dir(f.Path) != path.Clean(dir) {
			continue
		}
		var file *hcl.File
		var diags hcl.Diagnostics
		switch {
		case strings.HasSuffix(f.Path, ".tf"):
			file, diags = hclsyntax.ParseConfig(f.Content, f.Path, hcl.InitialPos)
		case strings.HasSuffix(f.Path, ".tf.json"):
			file, diags = hcljson.Parse(f.Content, f.Path)
		default:
			continue
		}
		if diags.HasErrors() {
			return face, diagnosed(diags)
		}
		some = true
		content, _, diags := file.Body.PartialContent(moduleSchema)
		if diags.HasErrors() {
			return face, diagnosed(diags)
		}
		for _, b := range content.Blocks {
			if err := face.block(b, implied); err != nil {
				return face, err
			}
		}
	}
	if !some {
		return face, fmt.Errorf("there is no .tf file in %s", cmp.Or(path.Clean(dir), "the module"))
	}
	for name := range implied {
		if !slices.ContainsFunc(face.Requires, func(r ModuleRequirement) bool { return r.LocalName == name }) {
			face.Requires = append(face.Requires, ModuleRequirement{ProviderRequirement: ProviderRequirement{LocalName: name, Source: impliedSource(name)}, Implied: true})
		}
	}
	slices.SortFunc(face.Variables, func(a, b ModuleVariable) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(face.Outputs, func(a, b ModuleOutput) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(face.Requires, func(a, b ModuleRequirement) int { return cmp.Compare(a.LocalName, b.LocalName) })
	slices.Sort(face.Resources)
	face.Resources = slices.Compact(face.Resources)
	return face, nil
}

// impliedSource is the source of a provider that no required_providers names.
func impliedSource(name string) string {
	if name == "terraform" {
		return "terraform.io/builtin/terraform"
	}
	return "hashicorp/" + name
}

// diagnosed says the first thing that is wrong in a module's own text, with its place there.
func diagnosed(diags hcl.Diagnostics) error {
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			if d.Subject != nil {
				return fmt.Errorf("%s:%d: %s; %s", d.Subject.Filename, d.Subject.Start.Line, d.Summary, d.Detail)
			}
			return fmt.Errorf("%s; %s", d.Summary, d.Detail)
		}
	}
	return errors.New("it cannot be read")
}

func (f *ModuleFace) block(b *hcl.Block, implied map[string]bool) error {
	switch b.Type {
	case "terraform":
		content, _, diags := b.Body.PartialContent(terraformSchema)
		if diags.HasErrors() {
			return diagnosed(diags)
		}
		for _, r := range content.Blocks {
			if err := f.require(r.Body); err != nil {
				return err
			}
		}
	case "variable":
		return f.variable(b)
	case "output":
		content, _, diags := b.Body.PartialContent(outputSchema)
		if diags.HasErrors() {
			return diagnosed(diags)
		}
		i := slices.IndexFunc(f.Outputs, func(o ModuleOutput) bool { return o.Name == b.Labels[0] })
		if i < 0 {
			f.Outputs, i = append(f.Outputs, ModuleOutput{Name: b.Labels[0]}), len(f.Outputs)
		}
		o := &f.Outputs[i]
		o.Sensitive, o.Ephemeral = flag(content, "sensitive", o.Sensitive), flag(content, "ephemeral", o.Ephemeral)
	case "provider":
		implied[b.Labels[0]] = true
	case "resource", "data", "ephemeral":
		name, _, _ := strings.Cut(b.Labels[0], "_")
		if content, _, diags := b.Body.PartialContent(resourceSchema); !diags.HasErrors() && content.Attributes["provider"] != nil {
			if t, diags := hcl.AbsTraversalForExpr(content.Attributes["provider"].Expr); !diags.HasErrors() {
				name = t.RootName()
			}
		}
		implied[name] = true
		if b.Type == "resource" {
			f.Resources = append(f.Resources, b.Labels[0])
		}
	}
	return nil
}

// flag is the value of a literal truth value.
func flag(content *hcl.BodyContent, name string, otherwise bool) bool {
	a := content.Attributes[name]
	if a == nil {
		return otherwise
	}
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.Bool {
		return otherwise
	}
	return v.True()
}

func (f *ModuleFace) variable(b *hcl.Block) error {
	content, _, diags := b.Body.PartialContent(variableSchema)
	if diags.HasErrors() {
		return diagnosed(diags)
	}
	i := slices.IndexFunc(f.Variables, func(v ModuleVariable) bool { return v.Name == b.Labels[0] })
	if i < 0 {
		f.Variables, i = append(f.Variables, ModuleVariable{Name: b.Labels[0], Type: cty.DynamicPseudoType, Required: true, Nullable: true}), len(f.Variables)
	}
	v := &f.Variables[i]
	v.Required = v.Required && content.Attributes["default"] == nil
	v.Nullable, v.Sensitive, v.Ephemeral = flag(content, "nullable", v.Nullable), flag(content, "sensitive", v.Sensitive), flag(content, "ephemeral", v.Ephemeral)
	if a := content.Attributes["type"]; a != nil {
		if v.Type, v.Defaults, diags = typeexpr.TypeConstraintWithDefaults(a.Expr); diags.HasErrors() {
			return diagnosed(diags)
		}
	}
	return nil
}

// require reads required_providers. Its values are objects, of which configuration_aliases holds references.
func (f *ModuleFace) require(body hcl.Body) error {
	attrs, diags := body.JustAttributes()
	if diags.HasErrors() {
		return diagnosed(diags)
	}
	for name, a := range attrs {
		r := ModuleRequirement{ProviderRequirement: ProviderRequirement{LocalName: name, Source: impliedSource(name)}}
		pairs, diags := hcl.ExprMap(a.Expr)
		if diags.HasErrors() { // the old form: a version alone
			r.Version = literal(a.Expr)
			f.Requires = append(f.Requires, r)
			continue
		}
		for _, kv := range pairs {
			switch key := cmp.Or(hcl.ExprAsKeyword(kv.Key), literal(kv.Key)); key {
			case "source":
				r.Source = cmp.Or(literal(kv.Value), r.Source)
			case "version":
				r.Version = literal(kv.Value)
			case "configuration_aliases":
				list, diags := hcl.ExprList(kv.Value)
				if diags.HasErrors() {
					return diagnosed(diags)
				}
				for _, e := range list {
					if t, diags := hcl.AbsTraversalForExpr(e); !diags.HasErrors() && len(t) == 2 {
						if step, ok := t[1].(hcl.TraverseAttr); ok {
							r.Aliases = append(r.Aliases, t.RootName()+"."+step.Name)
						}
					}
				}
			}
		}
		f.Requires = append(f.Requires, r)
	}
	return nil
}

// literal is the value of a literal text, "" where it is none.
func literal(e hcl.Expression) string {
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

// PackageNeeds lists the providers that the modules of a package need, by source, with all constraints joined. Wishes, those of the spec,
// come first.
func PackageNeeds(files []File, dirs []string, wishes []ProviderRequirement) ([]ProviderRequirement, error) {
	versions := map[string][]string{}
	add := func(source, version string) {
		source = ShortSource(source)
		if strings.HasPrefix(source, builtinPrefix) {
			return
		}
		all := versions[source]
		if version != "" && !slices.Contains(all, version) {
			all = append(all, version)
		}
		versions[source] = all
	}
	for _, w := range wishes {
		add(w.Source, w.Version)
	}
	for _, dir := range dirs {
		face, err := Inspect(files, dir)
		if err != nil {
			return nil, err
		}
		for _, r := range face.Requires {
			add(r.Source, r.Version)
		}
	}
	var out []ProviderRequirement
	for _, source := range sortedKeys(versions) {
		out = append(out, ProviderRequirement{Source: source, Version: strings.Join(versions[source], ", ")})
	}
	return out, nil
}

// builtinPrefix starts the source of a provider that is part of terraform itself.
const builtinPrefix = "terraform.io/builtin/"

// ShortSource leaves the host that terraform takes by itself out of a provider's source address, as far as both products take it.
func ShortSource(source string) string {
	source = strings.TrimPrefix(source, tfaddr.DefaultProviderRegistryHost.String()+"/")
	if !strings.Contains(source, "/") {
		return "hashicorp/" + source
	}
	return source
}
