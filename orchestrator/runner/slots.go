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

// tokens are the slots that a launch of terraform holds. They are held by the runner; whoever adopts a terraform needs none.
type tokens struct{ files []*os.File }

// close gives the slots back.
func (t *tokens) close() {
	if t == nil {
		return
	}
	for _, f := range t.files {
		_ = f.Close()
	}
	t.files = nil
}

// takeTokens waits for the right to start a terraform that may use so much memory (MiB). A slot stands for an equal part of the memory that
// terraform may have on this machine, so a heavy provider's launch holds several. Slot 0 is for plans and checks alone, and one of them
// goes with it whatever it weighs: they are short, and never starved by long applies. Applies gather what they need one after another,
// behind a door, so that a heavy one is not starved by light ones and no two wait for each other.
func (w *worker) takeTokens(ctx context.Context, kind journal.StepKind, memory int) (*tokens, error) {
	n, share, err := w.slots()
	if err != nil {
		return nil, err
	}
	var t *tokens
	if kind == journal.StepApply {
		t, err = w.gather(ctx, n, min(weight(memory, share), n-1))
	} else {
		t, err = w.takePlan(ctx, n, min(weight(memory, share), n-1))
	}
	if err != nil {
		return nil, err
	}
	if err := w.waitForMemory(ctx, n, t, memory); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// slots is how many slots the site has, and for how much memory (MiB) each of them stands.
func (w *worker) slots() (n, share int, err error) {
	if n, err = launches(os.Getenv(EnvLaunches), runtime.NumCPU()); err != nil {
		return 0, 0, err
	}
	budget, err := launchMemory(os.Getenv(EnvLaunchMemory), readMemory())
	if err != nil {
		return 0, 0, err
	}
	if os.Getenv(EnvLaunches) == "" {
		n = max(2, min(n, budget/lightestLaunch))
	}
	return n, max(1, budget/n), nil
}

// weight is how many slots a launch holds.
func weight(memory, share int) int { return max(1, (memory+share-1)/share) }

// gather takes slots of applies, one after another as they become free, while it holds the door.
func (w *worker) gather(ctx context.Context, n, need int) (*tokens, error) {
	door, err := waitLock(ctx, filepath.Join(w.site.Root, "locks", "launch.door"), slotPoll)
	if err != nil {
		return nil, err
	}
	if door == nil {
		return nil, ctx.Err()
	}
	defer door.close()
	t := &tokens{}
	for waited := false; ; waited = true {
		if err := w.take(t, 1, n, need); err != nil || len(t.files) == need {
			return t, err
		}
		if !waited {
			w.log.Info("wait for launch slots", "have", len(t.files), "need", need, "slots", n-1)
		}
		if !pause(ctx, slotPoll+rand.N(slotPoll)) {
			t.close()
			return nil, ctx.Err()
		}
	}
}

// takePlan takes all the slots that a plan needs at once, or slot 0 alone.
func (w *worker) takePlan(ctx context.Context, n, need int) (*tokens, error) {
	for waited := false; ; waited = true {
		t := &tokens{}
		if err := w.take(t, 1, n, need); err != nil || len(t.files) == need {
			return t, err
		}
		t.close()
		if err := w.take(t, 0, 1, 1); err != nil || len(t.files) == 1 {
			return t, err
		}
		if !waited {
			w.log.Info("wait for a launch slot", "slots", n)
		}
		if !pause(ctx, slotPoll+rand.N(slotPoll)) {
			return nil, ctx.Err()
		}
	}
}

// take adds free slots of a range, the last ones first, until there are as many as needed.
func (w *worker) take(t *tokens, first, end, need int) error {
	for i := end - 1; i >= first && len(t.files) < need; i-- {
		l, err := tryLock(w.slotPath(i))
		if err != nil {
			t.close()
			return err
		}
		if l != nil {
			t.files = append(t.files, l.f)
		}
	}
	return nil
}

func (w *worker) slotPath(i int) string {
	return filepath.Join(w.site.Root, "locks", "launch."+strconv.Itoa(i))
}

// waitForMemory waits until the machine, and the control group that this process is in, have as much memory left as the launch may use. A
// launch that is alone on the site goes on in any case: nothing that is waited for would give memory back.
func (w *worker) waitForMemory(ctx context.Context, n int, mine *tokens, need int) error {
	for waited := false; ; waited = true {
		if readMemory().Available >= need {
			return nil
		}
		all := &tokens{}
		err := w.take(all, 0, n, n)
		alone := len(all.files)+len(mine.files) == n
		all.close()
		if err != nil || alone {
			return err
		}
		if !waited {
			w.log.Warn("wait for memory", "need_mib", need, "available_mib", readMemory().Available)
		}
		if !pause(ctx, time.Second) {
			return ctx.Err()
		}
	}
}
