package orchestrator

import (
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
)

// TestAnAskedCheckLooksAnew asks for checks while others are at work: what they found may be from before the question.
func TestAnAskedCheckLooksAnew(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	if _, err := c.submitText(t, text("orders")); err != nil {
		t.Fatal(err)
	}
	db, err := c.catalog.Database(t.Context(), "default", "orders")
	if err == nil {
		err = c.catalog.Store().Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec("UPDATE databases SET applied = 1 WHERE incarnation = ?", db.Incarnation)
			return err
		})
	}
	if err == nil {
		_, err = c.catalog.BeginDrift(t.Context(), catalog.DriftCheck{Incarnation: db.Incarnation, Reason: catalog.DriftAfterRun, Actor: "meridian"})
	}
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	for range maxOpenChecks {
		v, err := c.CheckDrift(t.Context(), "default", "orders", "ada")
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, v.ID)
	}
	checks, err := c.catalog.Drifts(t.Context(), db.Incarnation, 10)
	if err != nil || len(checks) != maxOpenChecks {
		t.Fatalf("checks %+v, %v; want %d", checks, err, maxOpenChecks)
	}
	if asked[0] != checks[1].ID || asked[1] != checks[0].ID || asked[2] != asked[1] {
		t.Errorf("asked for %q, and the newest first there are %s and %s: want two new ones, then the newest of them", asked, checks[0].ID, checks[1].ID)
	}
}
