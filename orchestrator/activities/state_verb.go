package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"meridian/stacks/terraform"
)

// StateVerb has a runner run a verb on a copy of a stack's newest state; step is one of the stack's. It is no activity: a person waits for it.
func (a *Activities) StateVerb(ctx context.Context, step string, order terraform.StateOrder) (terraform.StateAnswer, error) {
	var out terraform.StateAnswer
	in, err := json.Marshal(order)
	if err != nil {
		return out, fmt.Errorf("order: %w", err)
	}
	cmd := exec.CommandContext(ctx, a.Runner, terraform.VerbState, "--data", a.Site.Root, "--step", step)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", append(os.Environ(), a.RunnerEnv...), bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", a.Runner, err, stderr.String())
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return out, fmt.Errorf("answer of %s: %w", a.Runner, err)
	}
	return out, nil
}
