package activities

import (
	"testing"

	"meridian/persistence/journal"
)

func TestCheckAgain(t *testing.T) {
	for name, c := range map[string]struct {
		outcome   journal.Outcome
		retryable bool
		moved     bool
		plans     int
		want      bool
	}{
		"nothing differs":              {journal.OutcomeUnchanged, false, false, 0, false},
		"something differs":            {journal.OutcomeChanges, false, false, 0, false},
		"its state moved":              {journal.OutcomeUnchanged, false, true, 0, true},
		"its state moves all the time": {journal.OutcomeUnchanged, false, true, maxPlans - 1, false},
		"it failed":                    {journal.OutcomeFailed, false, false, 0, false},
		"it failed of what may pass":   {journal.OutcomeFailed, true, false, 0, true},
		"of what does not pass":        {journal.OutcomeFailed, true, false, maxPlans - 1, false},
		"somebody killed it":           {journal.OutcomeInterrupted, false, false, maxPlans, true},
		"whatever is begun is killed":  {journal.OutcomeInterrupted, false, false, maxPlansIfKilled - 1, false},
	} {
		if got := checkAgain(journal.Result{Outcome: c.outcome, Retryable: c.retryable}, c.moved, c.plans); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
