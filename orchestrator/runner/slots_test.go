package runner

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// slotWorld is a site with four slots of 1000 MiB each.
type slotWorld struct {
	t *testing.T
	w *worker
}

func newSlotWorld(t *testing.T) slotWorld {
	t.Setenv(EnvLaunches, "4")
	t.Setenv(EnvLaunchMemory, "4000")
	return slotWorld{t, &worker{site: terraform.Site{Root: t.TempDir()}, log: slog.New(slog.DiscardHandler)}}
}

// take takes tokens, or nothing where there are none at once.
func (s slotWorld) take(kind journal.StepKind, memory int) *tokens {
	s.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer stop()
	got, err := s.w.takeTokens(ctx, kind, memory)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.t.Fatal(err)
	}
	return got
}

// TestTokens weighs launches, and leaves one slot to plans.
func TestTokens(t *testing.T) {
	s := newSlotWorld(t)
	light, heavy := s.take(journal.StepApply, 0), s.take(journal.StepApply, 1500)
	if light == nil || heavy == nil || len(light.files) != 1 || len(heavy.files) != 2 {
		t.Fatalf("light holds %+v, heavy %+v", light, heavy)
	}
	if s.take(journal.StepApply, 0) != nil {
		t.Error("an apply took the plans' slot")
	}
	plan := s.take(journal.StepPlan, 3000)
	if plan == nil || len(plan.files) != 1 {
		t.Fatalf("a heavy plan is starved by applies: %+v", plan)
	}
	if s.take(journal.StepCheck, 0) != nil {
		t.Error("a second plan went without a slot")
	}
	plan.close()
	heavy.close()
	check := s.take(journal.StepCheck, 1100)
	if check == nil || len(check.files) != 2 {
		t.Errorf("a check beside a light apply holds %+v", check)
	}
	check.close()
	light.close()
	huge := s.take(journal.StepApply, 1<<20)
	if huge == nil || len(huge.files) != 3 {
		t.Errorf("a launch of more than there is holds %+v, want all but the plans' slot", huge)
	}
}

// TestHeavyApplyIsNotStarved lets light applies come and go while a heavy one waits: it gathers what they give back, and they wait behind it.
func TestHeavyApplyIsNotStarved(t *testing.T) {
	s := newSlotWorld(t)
	first, second := s.take(journal.StepApply, 0), s.take(journal.StepApply, 0)
	got := make(chan *tokens, 1)
	go func() {
		heavy, err := s.w.takeTokens(context.Background(), journal.StepApply, 3000)
		if err != nil {
			t.Error(err)
		}
		got <- heavy
	}()
	deadline := time.Now().Add(30 * time.Second)
	for { // it holds the last free slot
		l, err := tryLock(s.w.slotPath(1))
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			break
		}
		l.close()
		if time.Now().After(deadline) {
			t.Fatal("the heavy apply gathers nothing")
		}
		pause(context.Background(), time.Millisecond)
	}
	first.close()
	if light := s.take(journal.StepApply, 0); light != nil {
		t.Error("a light apply overtook the heavy one")
	}
	if plan := s.take(journal.StepPlan, 0); plan == nil {
		t.Error("a plan waits behind an apply")
	} else {
		plan.close()
	}
	second.close()
	select {
	case heavy := <-got:
		if len(heavy.files) != 3 {
			t.Errorf("the heavy apply holds %+v", heavy)
		}
		heavy.close()
	case <-time.After(30 * time.Second):
		t.Fatal("the heavy apply never gets its slots")
	}
}

// TestWaitForMemory holds a launch back while another one runs and there is not enough memory, and never one that is alone.
func TestWaitForMemory(t *testing.T) {
	s := newSlotWorld(t)
	other := s.take(journal.StepApply, 0)
	const tooMuch = 1 << 29
	if s.take(journal.StepPlan, tooMuch) != nil {
		t.Error("a launch began without memory beside another one")
	}
	other.close()
	if s.take(journal.StepPlan, tooMuch) == nil {
		t.Error("a launch that is alone waits for memory that nobody will give back")
	}
}

func TestMemory(t *testing.T) {
	const meminfo = "MemTotal:       24684000 kB\nMemFree:         1000 kB\nMemAvailable:   23717000 kB\nHugePages_Total: none\n"
	m := parseMeminfo(meminfo)
	if want := (memory{24105, 23161}); m != want {
		t.Errorf("memory = %+v, want %+v", m, want)
	}
	if got := m.within(2048, 1500); got != (memory{2048, 548}) {
		t.Errorf("within a control group: %+v", got)
	}
	if got := m.within(2048, 4096); got.Available != 0 {
		t.Errorf("over its limit: %+v", got)
	}
	if m := parseMeminfo("no such thing"); m.Total < 1<<20 {
		t.Errorf("a kernel that says nothing: %+v", m)
	}
	if got := cgroupDir("12:cpu:/x\n0::/system.slice/meridian.service\n"); got != "/sys/fs/cgroup/system.slice/meridian.service" {
		t.Errorf("control group %q", got)
	}
	for name, c := range map[string]struct {
		setting string
		want    int
	}{"default": {"", 18078}, "set": {"4000", 4000}, "too little": {"1", 0}, "no number": {"all", 0}} {
		got, err := launchMemory(c.setting, m0(24105))
		if got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	for name, c := range map[string]struct{ memory, share, want int }{
		"little": {0, 1000, 1}, "a share": {1000, 1000, 1}, "more": {1001, 1000, 2},
	} {
		if got := weight(c.memory, c.share); got != c.want {
			t.Errorf("%s: weight %d, want %d", name, got, c.want)
		}
	}
}

func m0(total int) memory { return memory{Total: total} }
