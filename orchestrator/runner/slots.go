package runner

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"meridian/persistence/journal"
)

// EnvLaunches is how many terraforms a site runs at once; by default twice its cores, and at least 2.
const EnvLaunches = "MERIDIAN_LAUNCHES"

// slotPoll is how often a runner that waits for a slot looks again, with jitter.
const slotPoll = 20 * time.Millisecond

// launches is the number of slots of the site.
func launches(setting string, cores int) (int, error) {
	if setting == "" {
		return max(2, 2*cores), nil
	}
	n, err := strconv.Atoi(setting)
	if err != nil || n < 2 {
		return 0, fmt.Errorf("%s=%q: want a number, 2 or more", EnvLaunches, setting)
	}
	return n, nil
}

// takeSlot waits for the right to start a terraform. Slot 0 is for plans and checks alone, so that they are never starved by long
// applies. The slot is held by the runner; whoever adopts a terraform needs none.
func (w *worker) takeSlot(ctx context.Context, kind journal.StepKind) (*lock, error) {
	n, err := launches(os.Getenv(EnvLaunches), runtime.NumCPU())
	if err != nil {
		return nil, err
	}
	first := 0
	if kind == journal.StepApply {
		first = 1
	}
	for waited := false; ; waited = true {
		for i := n - 1; i >= first; i-- {
			l, err := tryLock(filepath.Join(w.site.Root, "locks", "launch."+strconv.Itoa(i)))
			if l != nil || err != nil {
				return l, err
			}
		}
		if !waited {
			w.log.Info("wait for a launch slot", "slots", n-first)
		}
		if !pause(ctx, slotPoll+rand.N(slotPoll)) {
			return nil, ctx.Err()
		}
	}
}
