package stacks

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"meridian/modules"
)

// databaseCall is the name of the one module call in a stack.
const databaseCall = "database"

// requiredTerraform is what a stack's modules need: write-only arguments and ephemeral variables, which OpenTofu has since 1.11 too.
const requiredTerraform = ">= 1.11"

var (
	exactVersion   = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	providerSource = regexp.MustCompile(`^([0-9A-Za-z.:-]+/)?[0-9A-Za-z_-]+/[0-9A-Za-z_-]+$`)
	secretName     = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)
)

// Words that Terraform itself reads in a module call or keeps from variables, and in a provider's configuration.
var (
	moduleWords   = []string{"source", "version", "count", "for_each", "depends_on", "providers", "lifecycle", "locals"}
	providerWords = []string{"alias", "version"}
)

// Render turns what a provider wants in a region's stack into the files of its root module. It is pure: the same input gives the same
// bytes. Values are written as HCL literals, never as text, so that nothing in a spec can become an expression.
func Render(id StackID, call ModuleCall) (Stack, error) {
	if err := checkCall(id, call); err != nil {
		return Stack{}, fmt.Errorf("render %s: %w", id, err)
	}
	if call.Foreign != nil {
		return renderForeign(id, call)
	}
	module, err := modules.Files(call.Module)
	if err != nil {
		return Stack{}, fmt.Errorf("render %s: %w", id, err)
	}
	providers := slices.SortedFunc(slices.Values(call.Providers), func(a, b ProviderConfig) int { return cmp.Compare(a.LocalName, b.LocalName) })
	main, err := mainFile(id, call)
	if err != nil {
		return Stack{}, fmt.Errorf("render %s: module %s: %w", id, call.Module, err)
	}
	config, err := providersFile(providers)
	if err != nil {
		return Stack{}, fmt.Errorf("render %s: %w", id, err)
	}
	dir := "modules/" + call.Module
	files := []File{main, versionsFile(providers), config, variablesFile(call.Secrets), outputsFile(call.Outputs)}
	files = slices.DeleteFunc(files, func(f File) bool { return f.Path == "" })
	for _, f := range module {
		files = append(files, File{Path: dir + "/" + f.Path, Content: f.Content})
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	st := Stack{ID: id, Files: files, Digest: digestFiles(files), Secrets: maps.Clone(call.Secrets), DataBearing: slices.Clone(call.DataBearing),
		Modules: []ModuleEntry{{Dir: "."}, {Key: databaseCall, Source: "./" + dir, Dir: dir}}}
	for _, p := range providers {
		st.Providers = append(st.Providers, p.ProviderRequirement)
	}
	if len(providers) == 1 { // a module of ours makes no configuration of its own
		st.Once = providers[0].Source
	}
	return st, nil
}

// checkCall refuses what cannot be written as Terraform. Names come from providers, so a refusal is a fault of theirs, not of a user.
func checkCall(id StackID, call ModuleCall) error {
	for _, part := range []string{id.Namespace, id.Name, id.Region} {
		if !dnsLabel.MatchString(part) {
			return fmt.Errorf("%q is no DNS label", part)
		}
	}
	if !incarnation.MatchString(id.Incarnation) {
		return fmt.Errorf("%q is no incarnation", id.Incarnation)
	}
	for _, name := range slices.Concat(sortedKeys(call.Inputs), sortedKeys(call.Secrets)) {
		if !hclsyntax.ValidIdentifier(name) || slices.Contains(moduleWords, name) {
			return fmt.Errorf("%q cannot name an input", name)
		}
	}
	for name, secret := range call.Secrets {
		if _, both := call.Inputs[name]; both {
			return fmt.Errorf("%q is an input and a secret", name)
		}
		if !secretName.MatchString(secret) {
			return fmt.Errorf("%q cannot name a secret", secret)
		}
	}
	seen := map[string]bool{}
	for _, name := range call.Outputs {
		if !hclsyntax.ValidIdentifier(name) || seen[name] {
			return fmt.Errorf("output %q: the name is not unique or no identifier", name)
		}
		seen[name] = true
	}
	seen = map[string]bool{}
	for _, p := range call.Providers {
		if !hclsyntax.ValidIdentifier(p.LocalName) || seen[p.LocalName] {
			return fmt.Errorf("provider %q: the name is not unique or no identifier", p.LocalName)
		}
		seen[p.LocalName] = true
		builtin := strings.HasPrefix(p.Source, builtinPrefix) && p.Version == ""
		if !builtin && (!providerSource.MatchString(p.Source) || !exactVersion.MatchString(p.Version)) {
			return fmt.Errorf("provider %q: want a source and an exact version, not %q and %q", p.LocalName, p.Source, p.Version)
		}
		for name := range p.Config {
			if !hclsyntax.ValidIdentifier(name) || slices.Contains(providerWords, name) {
				return fmt.Errorf("provider %q: %q cannot name an argument", p.LocalName, name)
			}
		}
		for block, arguments := range p.Blocks {
			for _, name := range append(sortedKeys(arguments), block) {
				if !hclsyntax.ValidIdentifier(name) || slices.Contains(providerWords, name) {
					return fmt.Errorf("provider %q: %q cannot name a block or an argument of one", p.LocalName, name)
				}
			}
		}
	}
	return nil
}

func mainFile(id StackID, call ModuleCall) (File, error) {
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), fmt.Sprintf("Region %s of database %s in namespace %s (incarnation %s), as plain Terraform.", id.Region, id.Name, id.Namespace, id.Incarnation),
		"Meridian rendered it from the database's spec: change the spec, not these files, while Meridian runs it.")
	body := f.Body().AppendNewBlock("module", []string{databaseCall}).Body()
	body.SetAttributeRaw("source", stringTokens("./modules/"+call.Module))
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
	if len(call.Secrets) > 0 {
		body.AppendNewline()
	}
	for _, name := range sortedKeys(call.Secrets) {
		body.SetAttributeTraversal(name, traversal("var", name))
	}
	return file("main.tf", f), nil
}

func versionsFile(providers []ProviderConfig) File {
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "Versions are exact: what was tested together runs together.")
	body := f.Body().AppendNewBlock("terraform", nil).Body()
	body.SetAttributeRaw("required_version", stringTokens(requiredTerraform))
	if len(providers) > 0 {
		body.AppendNewline()
		required := body.AppendNewBlock("required_providers", nil).Body()
		for _, p := range providers {
			attrs := []hclwrite.ObjectAttrTokens{{Name: hclwrite.TokensForIdentifier("source"), Value: stringTokens(p.Source)}}
			if p.Version != "" { // what is part of terraform has none
				attrs = append(attrs, hclwrite.ObjectAttrTokens{Name: hclwrite.TokensForIdentifier("version"), Value: stringTokens(p.Version)})
			}
			required.SetAttributeRaw(p.LocalName, hclwrite.TokensForObject(attrs))
		}
	}
	return file("versions.tf", f)
}

func providersFile(providers []ProviderConfig) (File, error) {
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "How the providers are reached. Credentials come from the environment, never from here.")
	some := false
	for _, p := range providers {
		if len(p.Config)+len(p.Blocks) == 0 {
			continue
		}
		if some {
			f.Body().AppendNewline()
		}
		some = true
		body := f.Body().AppendNewBlock("provider", []string{p.LocalName}).Body()
		for _, name := range sortedKeys(p.Config) {
			tokens, err := valueTokens(p.Config[name])
			if err != nil {
				return File{}, fmt.Errorf("provider %s: %s: %w", p.LocalName, name, err)
			}
			body.SetAttributeRaw(name, tokens)
		}
		for _, block := range sortedKeys(p.Blocks) {
			body.AppendNewline()
			inner := body.AppendNewBlock(block, nil).Body()
			for _, name := range sortedKeys(p.Blocks[block]) {
				tokens, err := valueTokens(p.Blocks[block][name])
				if err != nil {
					return File{}, fmt.Errorf("provider %s: %s.%s: %w", p.LocalName, block, name, err)
				}
				inner.SetAttributeRaw(name, tokens)
			}
		}
	}
	if !some {
		return File{}, nil
	}
	return file("providers.tf", f), nil
}

func variablesFile(secrets map[string]string) File {
	if len(secrets) == 0 {
		return File{}
	}
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "Secrets, given at plan and again at apply as TF_VAR_<name>. Being ephemeral, they are in no plan and no state.")
	for i, name := range sortedKeys(secrets) {
		if i > 0 {
			f.Body().AppendNewline()
		}
		body := f.Body().AppendNewBlock("variable", []string{name}).Body()
		body.SetAttributeRaw("description", stringTokens("The secret "+secrets[name]+" of this database."))
		body.SetAttributeRaw("type", hclwrite.TokensForIdentifier("string"))
		body.SetAttributeRaw("ephemeral", hclwrite.TokensForIdentifier("true"))
		body.SetAttributeRaw("sensitive", hclwrite.TokensForIdentifier("true"))
	}
	return file("variables.tf", f)
}

func outputsFile(outputs []string) File {
	if len(outputs) == 0 {
		return File{}
	}
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "What the database is reached by. Nothing here is secret.")
	for i, name := range slices.Sorted(slices.Values(outputs)) {
		if i > 0 {
			f.Body().AppendNewline()
		}
		f.Body().AppendNewBlock("output", []string{name}).Body().SetAttributeTraversal("value", traversal("module", databaseCall, name))
	}
	return file("outputs.tf", f)
}
