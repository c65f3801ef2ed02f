package stacks

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Recovery is what a plan has to put right first of what an interrupted apply has left, as it was looked up. Its zero value is nothing.
// It is no part of the stack that people approve: what it changes shows in the plan.
type Recovery struct {
	// Import takes objects into the state that exist and that no state knows.
	Import []Import `json:"import,omitempty"`
	// Untaint lists the addresses of objects that are whole: only the interruption tainted them.
	Untaint []string `json:"untaint,omitempty"`
	// Anew says that an apply was interrupted after it had begun to change the world, so no plan that is older may be applied (again).
	Anew bool `json:"anew,omitempty"`
}

// Import is one object that a plan takes into the state.
type Import struct {
	Address string `json:"address"`
	ID      string `json:"id"`
}

// Empty reports whether there is nothing to put right.
func (r Recovery) Empty() bool { return len(r.Import) == 0 && len(r.Untaint) == 0 && !r.Anew }

// RecoveryFile is the file beside a stack's own with the import blocks of a recovery. It is no part of the stack's digest.
const RecoveryFile = "meridian_recovery.tf"

// RenderRecovery is the file with the import blocks of a recovery; its path is empty where there are none.
func RenderRecovery(r Recovery) (File, error) {
	if len(r.Import) == 0 {
		return File{}, nil
	}
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "What an interrupted apply has made is taken into the state. Meridian looked it up.")
	for i, in := range r.Import {
		to, diags := hclsyntax.ParseTraversalAbs([]byte(in.Address), in.Address, hcl.InitialPos)
		if diags.HasErrors() || in.ID == "" {
			return File{}, fmt.Errorf("import of %q as %q: no such address, or no ID", in.ID, in.Address)
		}
		if i > 0 {
			f.Body().AppendNewline()
		}
		body := f.Body().AppendNewBlock("import", nil).Body()
		body.SetAttributeTraversal("to", to)
		body.SetAttributeRaw("id", stringTokens(in.ID))
	}
	return file(RecoveryFile, f), nil
}
