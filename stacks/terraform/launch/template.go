package launch

import (
	"context"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TemplateInput is what a template depends on.
type TemplateInput struct {
	Site      terraform.Site
	Binary    terraform.Binary
	Providers []stacks.ProviderRequirement
	// Environ is the parent's environment (os.Environ()), for proxies and certificates.
	Environ []string
}

// Template is a ready-made .terraform directory with its lock file and CLI configuration.
type Template struct {
	Hash string
	Dir  string
}

// TemplateHash is the key of the template: product and version of the binary, the providers, the format of the template.
func TemplateHash(in TemplateInput) string { panic("todo") }

// EnsureTemplate returns the template for a set of providers and makes it where it is missing, by the one `terraform init` there is.
// It may be called by several processes at once. Our own plugin must be in the mirror before.
func EnsureTemplate(ctx context.Context, in TemplateInput) (Template, error) { panic("todo") }

// StageTemplate copies a template into a work directory (provider links, lock file, CLI configuration) and writes modules.json.
func StageTemplate(t Template, workDir string, modules []stacks.ModuleEntry) error { panic("todo") }

// Prune removes the templates of a site that keep does not want, and what interrupted makers left.
func Prune(site terraform.Site, keep func(hash string) bool) error { panic("todo") }
