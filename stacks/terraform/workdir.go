package terraform

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"meridian/stacks"
)

// Names in a work directory.
const (
	PlanFile       = "meridian.tfplan"
	StateFileName  = "terraform.tfstate"
	BackupFileName = "terraform.tfstate.backup"
	ErroredState   = "errored.tfstate"
	LockFileName   = ".terraform.lock.hcl"
	DataDirName    = ".terraform"
	ModulesFile    = ".terraform/modules/modules.json"
	// CLIConfigFile is the CLI configuration of the template, beneath the work directory; TF_CLI_CONFIG_FILE is its absolute path.
	CLIConfigFile = ".terraform/meridian.tfrc"
	// OutputFile is terraform's stdout and stderr, ShimLogFile what shim and plugin say of themselves. A provider may tell a secret there, so they
	// lie where the state does, among what terraform writes of its own.
	OutputFile  = ".terraform/output.ndjson"
	ShimLogFile = ".terraform/shim.log"
)

// ModulesJSON is the content of ModulesFile for a stack's modules; terraform needs it for every module block and init would write it.
// The root module, whose key is empty, is added where modules do not list it: terraform refuses two of a key.
func ModulesJSON(modules []stacks.ModuleEntry) []byte {
	if !slices.ContainsFunc(modules, func(m stacks.ModuleEntry) bool { return m.Key == "" }) {
		modules = append([]stacks.ModuleEntry{{Dir: "."}}, modules...)
	}
	manifest := struct{ Modules []stacks.ModuleEntry }{Modules: modules}
	text, err := json.Marshal(manifest)
	if err != nil {
		panic(fmt.Sprintf("modules.json of plain strings: %v", err))
	}
	return text
}

// LockFile is the content of LockFileName for exact versions and their hashes ("h1:..."). A source must have its host.
func LockFile(hashes map[stacks.ProviderRequirement][]string) []byte {
	requirements := make([]stacks.ProviderRequirement, 0, len(hashes))
	for r := range hashes {
		requirements = append(requirements, r)
	}
	sort.Slice(requirements, func(i, j int) bool { return requirements[i].Source < requirements[j].Source })
	var b strings.Builder
	b.WriteString("# Written by Meridian. Edits are lost.\n")
	for _, r := range requirements {
		fmt.Fprintf(&b, "\nprovider %q {\n  version     = %q\n  constraints = %q\n  hashes = [\n", r.Source, r.Version, r.Version)
		list := append([]string(nil), hashes[r]...)
		sort.Strings(list)
		for _, h := range list {
			fmt.Fprintf(&b, "    %q,\n", h)
		}
		b.WriteString("  ]\n}\n")
	}
	return []byte(b.String())
}
