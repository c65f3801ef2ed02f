package orchestrator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TerraformRequest is a verb on a region's state: `state list|show|mv|rm ...` or `import ADDRESS ID`. One that writes is only shown, until
// Approve is the Digest of what was shown.
type TerraformRequest struct {
	Namespace, Name, Region string
	Args                    []string
	Approve                 string
	Actor                   string
}

// TerraformView is what a verb on a state said or would do.
type TerraformView struct {
	// Output is terraform's own word.
	Output string `json:"output,omitempty"`
	// Version is the state that it looked at; NewVersion the one that it left, where it was approved.
	Version    string `json:"version"`
	NewVersion string `json:"newVersion,omitempty"`
	// Digest names exactly this verb with exactly these changes of the state; empty where it changes nothing.
	Digest  string          `json:"digest,omitempty"`
	Changes []stacks.Change `json:"changes,omitempty"`
}

// Terraform runs a verb on a region's state. It works on a copy; what comes of it becomes the newest state, under a fence of its own, where
// exactly that was approved and nothing has moved meanwhile.
func (c *Client) Terraform(ctx context.Context, in TerraformRequest) (TerraformView, error) {
	var v TerraformView
	writes, err := terraform.ParseStateVerb(in.Args)
	if err != nil {
		return v, &Problem{Code: CodeRefused, Title: "this is no verb on a state", Detail: err.Error(), Next: "see meridian tf --help"}
	}
	id, info, before, err := c.stateOf(ctx, StateRef{Namespace: in.Namespace, Name: in.Name, Region: in.Region})
	if err != nil {
		return v, err
	}
	v.Version = info.Version
	acts, ok := (&census{client: c}).acts()
	if !ok {
		return v, &Problem{Code: CodeConflict, Title: "this server runs nothing by itself", Next: "try again when Temporal is back"}
	}
	step, err := c.journal.LastStep(ctx, id)
	if err != nil {
		return v, c.problem(err, "a rendering of "+in.Name+" in "+in.Region)
	}
	a, err := acts.StateVerb(ctx, step.ID, terraform.StateOrder{Args: in.Args, Serial: before.Serial})
	if err != nil {
		return v, err
	}
	if a.Refused != "" {
		return v, &Problem{Code: CodeRefused, Title: "terraform refused, and nothing was changed", Detail: a.Refused}
	}
	v.Output = a.Output
	if !writes {
		return v, nil
	}
	if v.Changes, err = c.diffStates(ctx, id, before.Payload, a.State); err != nil || len(v.Changes) == 0 {
		return v, err
	}
	v.Digest = verbDigest(id, v.Version, in.Args, v.Changes)
	switch in.Approve {
	case "":
		return v, nil
	case v.Digest:
	default:
		return v, &Problem{Code: CodeStalePlan, Title: "this is not what was shown", Detail: "the state, or what the verb would do to it, has moved on: its digest is " + v.Digest, Next: "look at it again without --approve"}
	}
	words := strings.Join(in.Args, " ")
	s, err := c.editState(ctx, journal.EditInput{Stack: id, Payload: a.State, Kind: journal.EditTerraform}, v.Version,
		catalog.Audit{Actor: in.Actor, Verb: "tf", Subject: "region " + id.Region}, words+": "+v.Version+" became ")
	if err != nil {
		return v, err
	}
	v.NewVersion = s.Version().String()
	return v, nil
}

// verbDigest names a verb on a state with what it would change. Values are left out: an import reads them from the world, where some move.
func verbDigest(id stacks.StackID, version string, args []string, changes []stacks.Change) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n", id.String(), version, args)
	for _, c := range changes {
		fmt.Fprintf(h, "%q %q %q\n", c.Action, c.Address, c.PreviousAddress)
	}
	return hex.EncodeToString(h.Sum(nil))
}
