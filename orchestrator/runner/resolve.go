package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/google/uuid"

	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// fetchTries is how often a module is fetched where somebody kills terraform.
const fetchTries = 3

// resolve fetches a foreign module in a scratch directory. It needs no store: who ordered it keeps what it answers.
func resolve(ctx context.Context, site terraform.Site, in io.Reader, log *slog.Logger) (terraform.ResolveAnswer, error) {
	var a terraform.ResolveAnswer
	var order terraform.ResolveOrder
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		return a, fmt.Errorf("order: %w", err)
	}
	binary, err := launch.Find(ctx, site, os.Getenv(terraform.EnvTerraform))
	if err != nil {
		return a, err
	}
	w := &worker{site: site, log: log}
	scratch := site.CheckDir("resolve-" + uuid.NewString())
	working, err := tryLock(scratch + terraform.ScratchLockEnd)
	if err != nil || working == nil {
		return a, cmp.Or(err, errBusy)
	}
	defer working.close()
	defer w.cleanCheck(scratch)
	if err := mkdir(scratch); err != nil {
		return a, fmt.Errorf("scratch directory: %w", err)
	}
	var p stacks.Package
	for range fetchTries {
		p, err = launch.Resolve(ctx, launch.ResolveInput{
			Site: site, Binary: binary, Source: order.Source, Files: order.Files, Dir: order.Dir, Scratch: scratch, Environ: os.Environ(),
		})
		if !launch.Killed(err) {
			break
		}
	}
	if errors.Is(err, context.Canceled) || launch.Killed(err) { // that says nothing of the module
		return a, err
	}
	if err != nil {
		a.Refused = err.Error()
		return a, nil
	}
	a.Package = &p
	return a, nil
}
