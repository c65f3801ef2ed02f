package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// state runs a verb on a copy of a stack's newest state, in a scratch directory with the files of the step. It takes no head and writes no
// row: who ordered it decides whether the state that comes of it becomes the newest.
func (w *worker) state(ctx context.Context, id string, in io.Reader) (terraform.StateAnswer, error) {
	var a terraform.StateAnswer
	var order terraform.StateOrder
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		return a, fmt.Errorf("order: %w", err)
	}
	if _, err := terraform.ParseStateVerb(order.Args); err != nil {
		return a, err
	}
	step, err := w.journal.Step(ctx, id)
	if err != nil {
		return a, fmt.Errorf("step %s: %w", id, err)
	}
	p := &prepared{step: step}
	if p.binary, err = launch.Find(ctx, w.site, os.Getenv(terraform.EnvTerraform)); err != nil {
		return a, err
	}
	p.template, err = launch.EnsureTemplate(ctx, launch.TemplateInput{
		Site: w.site, Binary: p.binary, Providers: step.Stack.Providers, Install: step.Stack.Install, Environ: os.Environ(),
	})
	if err != nil {
		return a, err
	}
	if p.state, err = w.journal.LatestState(ctx, step.Stack.ID); err != nil {
		return a, err
	}
	if p.state.Serial != order.Serial {
		return a, fmt.Errorf("the newest state has serial %d, not %d", p.state.Serial, order.Serial)
	}
	if p.secrets, err = w.secrets(ctx, step); err != nil {
		return a, err
	}
	scratch := w.site.CheckDir("state-" + uuid.NewString())
	working, err := tryLock(scratch + terraform.ScratchLockEnd) // so that no sweep removes it, and one does once this runner was killed
	if err != nil || working == nil {
		return a, cmp.Or(err, errBusy)
	}
	defer working.close()
	defer w.cleanCheck(scratch)
	if err := stage(scratch, p); err != nil {
		return a, err
	}
	veil, err := w.veilOf(ctx, step, p.state, nil)
	if err != nil {
		return a, err
	}
	said, err := launch.StateVerb(ctx, launch.Call{Binary: p.binary, Dir: scratch, Env: environment(scratch, p.secrets)}, order.Args)
	if err != nil {
		a.Refused = string(veil.hide([]byte(err.Error()), nil))
		return a, nil
	}
	a.Output = string(veil.hide(said, nil))
	a.State, err = os.ReadFile(filepath.Join(scratch, terraform.StateFileName))
	return a, err
}
