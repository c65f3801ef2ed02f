package stacks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// liftFile says to people why a stack is rendered otherwise than its spec; it makes the digest another one, too.
const liftFile = "meridian_lift.tf"

// RenderLift renders a region's stack with its protection lifted, for the first of the two steps of its destruction.
func RenderLift(id StackID, call ModuleCall) (Stack, error) {
	st, err := Render(id, call)
	if err != nil {
		return st, err
	}
	note := "# This rendering lifts the protection of what the region is made of, so that it can be destroyed afterwards.\n"
	st.Files = append(st.Files, File{Path: liftFile, Content: []byte(note)})
	slices.SortFunc(st.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	st.Digest = digestFiles(st.Files)
	return st, nil
}

// StepsDigest is what a yes to two steps is a yes to.
func StepsDigest(first, second string) string {
	sum := sha256.Sum256([]byte("steps\n" + first + "\n" + second + "\n"))
	return hex.EncodeToString(sum[:])
}

// Lifting answers whether a plan lifts a protection: whether it changes, in place, one of these attributes (the last word of its path) of a
// resource of one of these types. Where it does, beyond says what else it would do than change things in place; "" where nothing.
func Lifting(changes []Change, types, attributes []string) (lifts bool, beyond string) {
	for _, c := range changes {
		switch {
		case strings.HasPrefix(c.Address, "output."), c.Action == ActionRead, c.Action == ActionNoop:
		case c.Action != ActionUpdate:
			beyond = fmt.Sprintf("%s %s", c.Action, c.Address)
		case slices.Contains(types, c.Type):
			lifts = lifts || slices.ContainsFunc(c.Attributes, func(a AttributeChange) bool { return slices.Contains(attributes, lastWord(a.Path)) })
		}
	}
	return lifts, beyond
}

// lastWord is the last name in an attribute's path.
func lastWord(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
