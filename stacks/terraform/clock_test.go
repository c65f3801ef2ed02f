package terraform

import (
	"testing"
	"time"
)

func TestPast(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := Clock{Read: func() Reading { return Reading{Wall: now} }}
	for name, c := range map[string]struct {
		at   time.Duration
		want bool
	}{
		"just now": {0, false}, "a beat ago": {-5 * time.Second, false}, "too long ago": {-15 * time.Second, true},
		"a little ahead, by another machine's clock": {time.Second, false}, "the clock was set back a day": {24 * time.Hour, true},
		"the clock was set ahead a day": {-24 * time.Hour, true},
	} {
		if got := clock.Past(now.Add(c.at), 15*time.Second); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestTheKernelsClock holds the zero clock against itself: it goes on, and the boot clock is no younger than the process.
func TestTheKernelsClock(t *testing.T) {
	var c Clock
	wall, awake := c.Wall(), c.Awake()
	boot, err := c.Boot()
	if err != nil || boot <= 0 || boot < awake {
		t.Errorf("boot clock %s, awake %s, %v", boot, awake, err)
	}
	if c.Awake() < awake || time.Since(wall) > time.Hour {
		t.Error("it goes backwards")
	}
}
