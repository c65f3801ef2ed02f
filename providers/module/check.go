package module

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"meridian/providers"
	"meridian/stacks"
)

// CheckPackage holds the spec against the module: its variables with their types, its outputs, the providers that it wants.
func (*Provider) CheckPackage(in providers.ModuleInput) []stacks.Diagnostic {
	v := &validator{db: in.Database, field: regionField(in.Database, in.Region.Name)}
	if ds := stacks.DecodeSettings(in.Region.Settings, v.field+".settings", &v.s); stacks.HasErrors(ds) || in.Package == nil {
		return ds
	}
	face, err := stacks.Inspect(in.Package.Files, in.Package.Dir)
	if err != nil {
		v.refuse("module.source", ".settings.source", "name the directory that holds the module's .tf files, behind // where it is not the first", "%s is no module that can be used: %v", v.s.Source, err)
		return v.ds
	}
	v.inputs(face)
	v.outputs(face)
	v.wants(face)
	return v.ds
}

func (v *validator) inputs(face stacks.ModuleFace) {
	var names []string
	for _, x := range face.Variables {
		names = append(names, x.Name)
		if _, given := v.s.Inputs[x.Name]; x.Required && !given {
			v.refuse("module.input", ".settings.inputs", fmt.Sprintf("add %s: it is %s", x.Name, wanted(x.Type)), "the module needs the input %q", x.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.s.Inputs)) {
		x, ok := face.Variable(name)
		if !ok {
			v.refuse("module.input", ".settings.inputs."+name, didYouMean(name, names), "the module has no input %q", name)
			continue
		}
		v.input(x, v.s.Inputs[name])
	}
}

// input converts a value as terraform will, with what is not known yet left open.
func (v *validator) input(x stacks.ModuleVariable, given any) {
	path := ".settings.inputs." + x.Name
	if given == nil && !x.Nullable && x.Required {
		v.refuse("module.input", path, fmt.Sprintf("give it %s", wanted(x.Type)), "the module's input %q may not be null", x.Name)
		return
	}
	value := ctyOf(given)
	if x.Defaults != nil && !value.IsNull() && value.IsKnown() {
		value = x.Defaults.Apply(value)
	}
	if at, want, err := misfit(value, x.Type); err != nil {
		what := "input " + x.Name + pathOf(at)
		v.refuse("module.input", path+pathOf(at), fmt.Sprintf("the module's %s is %s", what, wanted(want)), "this does not fit the module's %s: %v", what, err)
	}
	if x.Ephemeral {
		return
	}
	walk("", given, func(_ string, e any) {
		if name, ok := asSecret(e); ok {
			v.ds = append(v.ds, stacks.Diagnostic{Severity: stacks.SeverityWarning, Rule: "module.secret", Field: v.field + path,
				Summary: fmt.Sprintf("the module keeps the secret %q in its plans and its state", name),
				Detail:  fmt.Sprintf("its input %q is not ephemeral; plans and states are encrypted at rest", x.Name)})
		}
	})
}

// ctyOf is a value of the spec as terraform sees it; what a reference stands for is not known.
func ctyOf(v any) cty.Value {
	if _, ok := asSecret(v); ok {
		return cty.UnknownVal(cty.String)
	}
	if _, ok := only(v, "fromDatabase"); ok {
		return cty.DynamicVal
	}
	if plain, ok := asLiteral(v); ok {
		return plainCty(plain)
	}
	switch v := v.(type) {
	case []any:
		var items []cty.Value
		for _, e := range v {
			items = append(items, ctyOf(e))
		}
		return cty.TupleVal(items)
	case map[string]any:
		attrs := map[string]cty.Value{}
		for k, e := range v {
			attrs[k] = ctyOf(e)
		}
		return cty.ObjectVal(attrs)
	}
	return plainCty(v)
}

func plainCty(v any) cty.Value {
	switch v := v.(type) {
	case string:
		return cty.StringVal(v)
	case bool:
		return cty.BoolVal(v)
	case float64:
		return cty.NumberFloatVal(v)
	case []any:
		var items []cty.Value
		for _, e := range v {
			items = append(items, plainCty(e))
		}
		return cty.TupleVal(items)
	case map[string]any:
		attrs := map[string]cty.Value{}
		for k, e := range v {
			attrs[k] = plainCty(e)
		}
		return cty.ObjectVal(attrs)
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// pathOf is a path within a value, as fields are written.
func pathOf(p cty.Path) string {
	var b strings.Builder
	for _, step := range p {
		switch step := step.(type) {
		case cty.GetAttrStep:
			b.WriteString("." + step.Name)
		case cty.IndexStep:
			switch {
			case step.Key.Type() == cty.Number:
				n, _ := step.Key.AsBigFloat().Int64()
				fmt.Fprintf(&b, "[%d]", n)
			case step.Key.Type() == cty.String:
				b.WriteString("." + step.Key.AsString())
			}
		}
	}
	return b.String()
}

// misfit finds the innermost part of a value that cannot be converted as terraform would, and the type that is wanted there; no error where all
// of it can.
func misfit(value cty.Value, want cty.Type) (at cty.Path, inner cty.Type, err error) {
	_, err = convert.Convert(value, want)
	if err == nil || !value.IsKnown() || value.IsNull() || !value.CanIterateElements() {
		return nil, want, err
	}
	for it := value.ElementIterator(); it.Next(); {
		key, part := it.Element()
		var of cty.Type
		var step cty.PathStep = cty.IndexStep{Key: key}
		switch {
		case want.IsObjectType() && key.Type() == cty.String && want.HasAttribute(key.AsString()):
			of, step = want.AttributeType(key.AsString()), cty.GetAttrStep{Name: key.AsString()}
		case want.IsMapType() && key.Type() == cty.String:
			of, step = want.ElementType(), cty.GetAttrStep{Name: key.AsString()}
		case (want.IsListType() || want.IsSetType()) && key.Type() == cty.Number:
			of = want.ElementType()
		default:
			continue
		}
		if inside, t, why := misfit(part, of); why != nil {
			return append(cty.Path{step}, inside...), t, why
		}
	}
	return nil, want, err
}

// wanted says a type for people, an object with its attributes.
func wanted(t cty.Type) string {
	switch {
	case t == cty.DynamicPseudoType:
		return "anything"
	case t.IsObjectType():
		var names []string
		for _, name := range slices.Sorted(maps.Keys(t.AttributeTypes())) {
			if t.AttributeOptional(name) {
				name += " (optional)"
			}
			names = append(names, name)
		}
		return "an object with " + strings.Join(names, ", ")
	}
	return "a " + t.FriendlyNameForConstraint()
}

func (v *validator) outputs(face stacks.ModuleFace) {
	var names []string
	for _, o := range face.Outputs {
		names = append(names, o.Name)
	}
	check := func(path, output string, secret, exported bool) {
		name, _, _ := strings.Cut(output, ".")
		if name == "" {
			return
		}
		o, ok := face.Output(name)
		switch {
		case !ok:
			v.refuse("module.output", path, didYouMean(name, names), "the module has no output %q", name)
		case o.Ephemeral:
			v.refuse("module.output", path, "name another", "the output %q is ephemeral: nothing is left of it after the apply", name)
		case exported && o.Sensitive:
			v.refuse("module.output", path, "take it out", "the output %q is sensitive: it is not given to other databases", name)
		case secret && !o.Sensitive:
			v.ds = append(v.ds, stacks.Diagnostic{Severity: stacks.SeverityWarning, Rule: "module.output", Field: v.field + path,
				Summary: fmt.Sprintf("the module does not mark its output %q as sensitive", name), Detail: "Meridian treats it as a secret; the module itself may show it elsewhere"})
		}
	}
	const at = ".settings.outputs."
	o := v.s.Outputs
	check(at+"host", o.Host, false, false)
	check(at+"port", o.Port, false, false)
	check(at+"endpoint", o.Endpoint, false, false)
	check(at+"user", o.User, false, false)
	check(at+"database", o.Database, false, false)
	check(at+"secret", o.Secret, true, false)
	check(".settings.ready.output", v.s.Ready.Output, false, false)
	for i, name := range o.Export {
		check(fmt.Sprintf("%sexport[%d]", at, i), name, false, true)
	}
	if secret, _, _ := strings.Cut(o.Secret, "."); secret != "" {
		open, _ := v.s.exports()
		if slices.Contains(open, secret) {
			v.refuse("module.output", at+"secret", "let the module have an output of its own for the password", "the output %q is the password and something open at once", secret)
		}
	}
}

// wants checks that the module gets the providers that it wants, and that what the spec configures is known.
func (v *validator) wants(face stacks.ModuleFace) {
	passes := v.s.passes(face)
	var known []string
	for _, r := range face.Requires {
		known = append(known, r.LocalName)
		known = append(known, r.Aliases...)
		for _, alias := range r.Aliases {
			if _, ok := passes[alias]; !ok {
				v.refuse("module.provider", ".settings.providers", fmt.Sprintf("configure %q there, or say in settings.moduleProviders which one it gets", alias), "the module wants a provider %q", alias)
			}
		}
	}
	for _, inside := range slices.Sorted(maps.Keys(v.s.ModuleProviders)) {
		if !slices.Contains(known, inside) {
			v.refuse("module.provider", ".settings.moduleProviders."+inside, didYouMean(inside, known), "the module has no provider %q", inside)
		}
	}
	for _, name := range v.s.names(face) {
		if _, ok := v.s.source(face, name); !ok {
			v.refuse("module.provider", ".settings.providers", fmt.Sprintf("name its source in settings.requiredProviders.%s", name), "provider %q is none of the module's", name)
		}
	}
}

// didYouMean is the advice for a word that is none of these.
func didYouMean(word string, known []string) string {
	if s := stacks.Suggest(word, known); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	if len(known) == 0 {
		return "it has none"
	}
	slices.Sort(known)
	return "it has " + strings.Join(known[:min(len(known), 20)], ", ")
}
