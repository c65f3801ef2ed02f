package terraform

import (
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
)

// ModulesJSON is the content of ModulesFile for a stack's modules; terraform needs it for every module block and init would write it.
func ModulesJSON(modules []stacks.ModuleEntry) []byte { panic("todo") }

// LockFile is the content of LockFileName for exact versions and their hashes ("h1:...").
func LockFile(hashes map[stacks.ProviderRequirement][]string) []byte { panic("todo") }
