package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"meridian/persistence/store"
	"meridian/stacks"
)

// ErrNotEmpty means that a stack still holds resources: its state is the only thing that knows them.
var ErrNotEmpty = errors.New("the state still holds resources")

// Forget removes the head, states and artifacts of a stack that is destroyed (its state is empty, its head idle), within tx. Its steps, their
// results and what terraform said stay: they are the log of runs.
// It refuses a head that runs (ErrRunning) and a state that holds resources (ErrNotEmpty). A stack that is not there is forgotten already.
func (j *Journal) Forget(ctx context.Context, tx *store.Tx, id stacks.StackID) error {
	h, err := readHead(tx, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if h.Status == HeadRunning {
		return fmt.Errorf("forget %s: %w", id, ErrRunning)
	}
	s, err := j.latestState(tx, id)
	if err != nil {
		return err
	}
	var content struct {
		Resources []struct {
			Mode string `json:"mode"`
		} `json:"resources"`
	}
	if err := json.Unmarshal(s.Payload, &content); err != nil {
		return fmt.Errorf("forget %s: its state cannot be read: %w", id, ErrNotEmpty)
	}
	for _, r := range content.Resources {
		if r.Mode != "data" {
			return fmt.Errorf("forget %s: %w", id, ErrNotEmpty)
		}
	}
	for _, q := range []string{
		"DELETE FROM states WHERE stack = ?",
		"DELETE FROM artifacts WHERE stack = ?",
		"DELETE FROM heads WHERE stack = ?",
	} {
		if _, err := tx.ExecContext(ctx, q, id.String()); err != nil {
			return fmt.Errorf("forget %s: %w", id, err)
		}
	}
	return tx.Notify("head", id.String())
}
