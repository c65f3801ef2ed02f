package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
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
	var slots []*os.File // opened once: who waits tries often
	taken := -1
	defer func() {
		for i, f := range slots {
			if i != taken {
				_ = f.Close()
			}
		}
	}()
	for i := n - 1; i >= first; i-- {
		f, err := openLock(filepath.Join(w.site.Root, "locks", "launch."+strconv.Itoa(i)))
		if err != nil {
			return nil, err
		}
		slots = append(slots, f)
	}
	for waited := false; ; waited = true {
		for i, f := range slots {
			err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			if err == nil {
				taken = i
				return &lock{f}, nil
			}
			if !errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
			}
		}
		if !waited {
			w.log.Info("wait for a launch slot", "slots", len(slots))
		}
		if !pause(ctx, slotPoll+rand.N(slotPoll)) {
			return nil, ctx.Err()
		}
	}
}
