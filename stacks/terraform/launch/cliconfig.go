package launch

import (
	"fmt"
	"sort"
	"strings"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// ourHost is the host of our own plugins; no server answers there.
const ourHost = "meridian.internal/"

// mirrorsOf says which directory each provider comes from: ours from the site's mirror, others from what this machine has.
func mirrorsOf(in TemplateInput, providers []stacks.ProviderRequirement) map[string]string {
	mirrors := map[string]string{}
	var foreign []stacks.ProviderRequirement
	for _, p := range providers {
		switch {
		case strings.HasPrefix(p.Source, ourHost):
			mirrors[p.Source] = in.Site.Mirror()
		case in.Install.Mirror != "" && holds(in.Install.Mirror, p):
			mirrors[p.Source] = in.Install.Mirror
		default:
			foreign = append(foreign, p)
		}
	}
	if len(foreign) > 0 {
		for source, dir := range ExistingMirrors(in.Environ, foreign) {
			mirrors[source] = dir
		}
	}
	return mirrors
}

// ours are the mirrors of our own plugins alone.
func ours(mirrors map[string]string) map[string]string {
	own := map[string]string{}
	for source, dir := range mirrors {
		if strings.HasPrefix(source, ourHost) {
			own[source] = dir
		}
	}
	return own
}

// cliConfig is the CLI configuration: a mirror for what lies on this machine, the origin only for the rest.
func cliConfig(providers []stacks.ProviderRequirement, mirrors map[string]string) []byte {
	var b strings.Builder
	b.WriteString("disable_checkpoint = true\n")
	if len(providers) == 0 {
		return []byte(b.String())
	}
	b.WriteString("provider_installation {\n")
	byDir := map[string][]string{}
	var direct []string
	for _, p := range providers {
		if dir, ok := mirrors[p.Source]; ok {
			byDir[dir] = append(byDir[dir], p.Source)
		} else {
			direct = append(direct, p.Source)
		}
	}
	dirs := make([]string, 0, len(byDir))
	for dir := range byDir {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	for _, dir := range dirs {
		fmt.Fprintf(&b, "  filesystem_mirror {\n    path    = %q\n    include = [%s]\n  }\n", dir, quoted(byDir[dir]))
	}
	if len(direct) > 0 {
		fmt.Fprintf(&b, "  direct {\n    include = [%s]\n  }\n", quoted(direct))
	}
	b.WriteString("}\n")
	return []byte(b.String())
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

// requiredProviders is the configuration that the template's init sees.
func requiredProviders(providers []stacks.ProviderRequirement) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "terraform {\n  required_version = \">= %s\"\n  required_providers {\n", MinVersion)
	for i, p := range providers {
		fmt.Fprintf(&b, "    p%d = {\n      source  = %q\n", i, p.Source)
		if p.Version != "" {
			fmt.Fprintf(&b, "      version = %q\n", p.Version)
		}
		b.WriteString("    }\n")
	}
	b.WriteString("  }\n}\n")
	return []byte(b.String())
}

// CLIConfigEnv is what makes a terraform in a staged work directory use the template's CLI configuration and not the user's own.
func CLIConfigEnv(workDir string) map[string]string {
	return map[string]string{terraform.EnvCLIConfig: workDir + "/" + terraform.CLIConfigFile}
}
