package terraform

import "meridian/stacks"

// StateFile is what Meridian reads of a state file (format 4).
type StateFile struct {
	Version          int
	TerraformVersion string
	Serial           int64
	Lineage          string
	// Outputs are the root outputs that are not sensitive: strings, float64s, bools, []any, map[string]any.
	Outputs map[string]any
	// SensitiveOutputs names the outputs that were left out.
	SensitiveOutputs []string
	// Resources are in order of address.
	Resources []StateResource
}

// StateResource is one object in a state; a deposed object has the address of the current one.
type StateResource struct {
	Address string
	Type    string
	// Mode is "managed" or "data".
	Mode    string
	Tainted bool
	Deposed string
}

// ReadState reads a state file.
func ReadState(data []byte) (StateFile, error) { panic("todo") }

// EmptyState is the state that a stack is born with: lineage from its ID, serial 1, nothing in it.
func EmptyState(id stacks.StackID) []byte { panic("todo") }

// ValidSnapshot reports whether data is a whole state file, and not one that terraform is just rewriting.
func ValidSnapshot(data []byte) bool { panic("todo") }
