package stacks

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Variable is a value of a module call that is a root variable of that name.
type Variable string

// ForeignCall is what a call of a module that is not ours has beside its Inputs, which may hold Variables at any depth.
type ForeignCall struct {
	Package Package
	// Variables are the root variables that Inputs and Configs name.
	Variables map[string]SecretVariable
	// Configs are the configurations of providers, in any order; Name may stand there once without and once with each Alias.
	Configs []ProviderBlock
	// Passes maps a provider of the module to one of the stack, like "aws.replica" to "aws.west".
	Passes map[string]string
	// Sensitive lists the module's outputs that the root exports as sensitive; Outputs are exported openly. Marked are those of Outputs that
	// the module marks as sensitive though what they say is no secret, like a user's name.
	Sensitive, Marked []string
}

// SecretVariable is a root variable that holds a secret.
type SecretVariable struct {
	// Secret is the catalog's name of it.
	Secret string
	// Kept says that the module's own variable is not ephemeral, so that plan and state hold it.
	Kept bool
}

// ProviderBlock is one configuration of a provider. Its values may be blocks of the provider as well as arguments: terraform decides, by the
// provider's schema.
type ProviderBlock struct {
	Name, Alias string
	Config      map[string]any
}

// Address is how a stack names the configuration.
func (b ProviderBlock) Address() string {
	if b.Alias == "" {
		return b.Name
	}
	return b.Name + "." + b.Alias
}

// ForeignDir is where the files of a foreign module lie in a stack.
const ForeignDir = "modules/" + databaseCall

// DatabaseCall is the name of the one module call in a stack.
const DatabaseCall = databaseCall

var providerAddress = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)?$`)

// renderForeign is Render for a module that is not ours. The call has passed checkCall.
func renderForeign(id StackID, call ModuleCall) (Stack, error) {
	fc := *call.Foreign
	if err := fc.check(); err != nil {
		return Stack{}, fmt.Errorf("render %s: %w", id, err)
	}
	main, err := foreignMain(id, call)
	if err != nil {
		return Stack{}, fmt.Errorf("render %s: %w", id, err)
	}
	config, err := foreignProviders(fc.Configs)
	if err != nil {
		return Stack{}, fmt.Errorf("render %s: %w", id, err)
	}
	providers := slices.SortedFunc(slices.Values(call.Providers), func(a, b ProviderConfig) int { return cmp.Compare(a.LocalName, b.LocalName) })
	files := []File{main, versionsFile(providers), config, foreignVariables(fc.Variables), foreignOutputs(call.Outputs, fc)}
	files = slices.DeleteFunc(files, func(f File) bool { return f.Path == "" })
	files = append(files, fc.Package.Files...)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	st := Stack{
		ID: id, Files: files, Digest: digestFiles(files), Providers: slices.Clone(fc.Package.Providers), DataBearing: slices.Clone(call.DataBearing),
		Install: fc.Package.Install,
		Modules: append([]ModuleEntry{{Dir: "."}, {Key: databaseCall, Source: "./" + fc.Package.Dir, Dir: fc.Package.Dir}}, fc.Package.Modules...),
	}
	for _, name := range sortedKeys(fc.Variables) {
		if st.Secrets == nil {
			st.Secrets = map[string]string{}
		}
		st.Secrets[name] = fc.Variables[name].Secret
		if fc.Variables[name].Kept {
			st.Kept = append(st.Kept, name)
		}
	}
	return st, nil
}

// check refuses what cannot be written as Terraform.
func (c ForeignCall) check() error {
	for _, f := range c.Package.Files {
		if !strings.HasPrefix(f.Path, "modules/") || path.Clean(f.Path) != f.Path {
			return fmt.Errorf("file %q of the module lies outside of modules/", f.Path)
		}
	}
	for name, v := range c.Variables {
		if !hclsyntax.ValidIdentifier(name) || !secretName.MatchString(v.Secret) {
			return fmt.Errorf("variable %q cannot hold the secret %q", name, v.Secret)
		}
	}
	seen := map[string]bool{}
	for _, b := range c.Configs {
		if !providerAddress.MatchString(b.Address()) || seen[b.Address()] {
			return fmt.Errorf("provider %q: the name is not unique or none", b.Address())
		}
		seen[b.Address()] = true
	}
	for inside, outside := range c.Passes {
		if !providerAddress.MatchString(inside) || !providerAddress.MatchString(outside) {
			return fmt.Errorf("provider %q cannot be passed as %q", outside, inside)
		}
	}
	for _, name := range slices.Concat(c.Sensitive, c.Marked) {
		if !hclsyntax.ValidIdentifier(name) {
			return fmt.Errorf("output %q: no identifier", name)
		}
	}
	return nil
}

func foreignMain(id StackID, call ModuleCall) (File, error) {
	fc := call.Foreign
	f := hclwrite.NewEmptyFile()
	what := fmt.Sprintf("%q", fc.Package.Source)
	if fc.Package.Version != "" {
		what += fmt.Sprintf(" %q", fc.Package.Version)
	}
	if fc.Package.Resolved != "" {
		what += fmt.Sprintf(", which was %q", fc.Package.Resolved)
	}
	comment(f.Body(), fmt.Sprintf("Region %s of database %s in namespace %s (incarnation %s), as plain Terraform.", id.Region, id.Name, id.Namespace, id.Incarnation),
		"The module below is a copy of "+what+".",
		"Meridian rendered it from the database's spec: change the spec, not these files, while Meridian runs it.")
	body := f.Body().AppendNewBlock("module", []string{databaseCall}).Body()
	body.SetAttributeRaw("source", stringTokens("./"+fc.Package.Dir))
	if len(fc.Passes) > 0 {
		body.AppendNewline()
		var attrs []hclwrite.ObjectAttrTokens
		for _, inside := range sortedKeys(fc.Passes) {
			attrs = append(attrs, hclwrite.ObjectAttrTokens{Name: addressTokens(inside), Value: addressTokens(fc.Passes[inside])})
		}
		body.SetAttributeRaw("providers", hclwrite.TokensForObject(attrs))
	}
	if len(call.Inputs) > 0 {
		body.AppendNewline()
	}
	for _, name := range sortedKeys(call.Inputs) {
		tokens, err := valueTokens(call.Inputs[name])
		if err != nil {
			return File{}, fmt.Errorf("input %s: %w", name, err)
		}
		body.SetAttributeRaw(name, tokens)
	}
	return file("main.tf", f), nil
}

// addressTokens writes a provider's address, which is no text to terraform.
func addressTokens(address string) hclwrite.Tokens {
	name, alias, aliased := strings.Cut(address, ".")
	if !aliased {
		return hclwrite.TokensForIdentifier(name)
	}
	return hclwrite.TokensForTraversal(traversal(name, alias))
}

// foreignProviders writes the configurations in JSON: there, terraform itself finds out what is a block and what is an argument.
func foreignProviders(blocks []ProviderBlock) (File, error) {
	byName := map[string][]any{}
	sorted := slices.SortedFunc(slices.Values(blocks), func(a, b ProviderBlock) int { return cmp.Compare(a.Address(), b.Address()) })
	for _, b := range sorted {
		config := map[string]any{}
		for name, v := range b.Config {
			config[name] = jsonValue(v)
		}
		if b.Alias != "" {
			config["alias"] = b.Alias
		}
		byName[b.Name] = append(byName[b.Name], config)
	}
	if len(byName) == 0 {
		return File{}, nil
	}
	text, err := json.MarshalIndent(map[string]any{"provider": byName}, "", "  ")
	if err != nil {
		return File{}, fmt.Errorf("providers: %w", err)
	}
	return File{Path: "providers.tf.json", Content: append(text, '\n')}, nil
}

// noTemplate keeps a text of JSON syntax from being read as a template.
var noTemplate = strings.NewReplacer("${", "$${", "%{", "%%{")

// jsonValue is a value as terraform's JSON syntax takes it.
func jsonValue(v any) any {
	switch v := v.(type) {
	case Variable:
		return "${var." + string(v) + "}"
	case string:
		return noTemplate.Replace(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = jsonValue(e)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[noTemplate.Replace(k)] = jsonValue(e)
		}
		return out
	}
	return v
}

func foreignVariables(variables map[string]SecretVariable) File {
	if len(variables) == 0 {
		return File{}
	}
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "Secrets, given as TF_VAR_<name>. An ephemeral one is in no plan and no state; the module keeps the others in both.")
	for i, name := range sortedKeys(variables) {
		if i > 0 {
			f.Body().AppendNewline()
		}
		body := f.Body().AppendNewBlock("variable", []string{name}).Body()
		body.SetAttributeRaw("description", stringTokens("The secret "+variables[name].Secret+" of this database."))
		body.SetAttributeRaw("type", hclwrite.TokensForIdentifier("string"))
		if !variables[name].Kept {
			body.SetAttributeRaw("ephemeral", hclwrite.TokensForIdentifier("true"))
		}
		body.SetAttributeRaw("sensitive", hclwrite.TokensForIdentifier("true"))
	}
	return file("variables.tf", f)
}

func foreignOutputs(open []string, c ForeignCall) File {
	names := slices.Compact(slices.Sorted(slices.Values(slices.Concat(open, c.Sensitive))))
	if len(names) == 0 {
		return File{}
	}
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "What Meridian reads of the module.")
	for i, name := range names {
		if i > 0 {
			f.Body().AppendNewline()
		}
		body := f.Body().AppendNewBlock("output", []string{name}).Body()
		value := hclwrite.TokensForTraversal(traversal("module", databaseCall, name))
		if slices.Contains(c.Marked, name) && !slices.Contains(c.Sensitive, name) {
			value = hclwrite.TokensForFunctionCall("nonsensitive", value)
		}
		body.SetAttributeRaw("value", value)
		if slices.Contains(c.Sensitive, name) {
			body.SetAttributeRaw("sensitive", hclwrite.TokensForIdentifier("true"))
		}
	}
	return file("outputs.tf", f)
}
