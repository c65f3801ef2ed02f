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
	err := ask(ctx, a.Runner, []string{terraform.VerbState, "--data", a.Site.Root, "--step", step}, a.RunnerEnv, order, &out)
	return out, err
}

// Resolve has the runner fetch a module. A person waits for it.
func (r Resolver) Resolve(ctx context.Context, order terraform.ResolveOrder) (terraform.ResolveAnswer, error) {
	var out terraform.ResolveAnswer
	err := ask(ctx, r.Runner, []string{terraform.VerbResolve, "--data", r.Site.Root}, r.Env, order, &out)
	return out, err
}

// ask has a runner answer an order.
func ask(ctx context.Context, runner string, args, env []string, order, answer any) error {
	in, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	cmd := exec.CommandContext(ctx, runner, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", append(os.Environ(), env...), bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", runner, err, stderr.String())
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("answer of %s: %w", runner, err)
	}
	return nil
}
