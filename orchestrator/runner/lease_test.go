package runner

import (
	"testing"
	"time"

	"meridian/stacks/terraform"
)

func TestDeadlineAsks(t *testing.T) {
	d := deadline{Until: time.Hour, Stop: 120 * time.Second, Kill: 30 * time.Second}
	for name, c := range map[string]struct {
		d    deadline
		now  time.Duration
		want leaseAct
	}{
		"long before":      {d, time.Minute, leaseRuns},
		"just before":      {d, time.Hour - 120*time.Second - 1, leaseRuns},
		"stop":             {d, time.Hour - 120*time.Second, leaseStop},
		"just before kill": {d, time.Hour - 30*time.Second - 1, leaseStop},
		"kill":             {d, time.Hour - 30*time.Second, leaseKill},
		"after a sleep":    {d, 30 * time.Hour, leaseKill},
		"no lease":         {deadline{}, 30 * time.Hour, leaseRuns},
	} {
		if got := c.d.act(c.now); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if every := d.look(); every > time.Second || every <= 0 {
		t.Errorf("the shim looks every %s", every)
	}
}

func TestALeaseThatCannotBeReadStops(t *testing.T) {
	s := spool{t.TempDir()}
	if _, act := leaseNow(terraform.Clock{}, s); act != leaseRuns {
		t.Errorf("no deadline: %d", act)
	}
	now, err := terraform.Clock{}.Boot()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.put(deadlineFile, deadline{Until: now + time.Hour, Stop: time.Second}, false); err != nil {
		t.Fatal(err)
	}
	if _, act := leaseNow(terraform.Clock{}, s); act != leaseRuns {
		t.Errorf("a deadline in an hour: %d", act)
	}
	if err := writeWhole(s.path(deadlineFile), []byte("{torn"), false); err != nil {
		t.Fatal(err)
	}
	if _, act := leaseNow(terraform.Clock{}, s); act != leaseStop {
		t.Errorf("a torn deadline: %d", act)
	}
}
