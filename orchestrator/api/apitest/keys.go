package apitest

import (
	"context"
	"time"

	"meridian/orchestrator"
)

// The fake ring's keys: the first one is there from the start, the second one once the ring was rotated.
const (
	oldKey = "aaaaaaa2"
	newKey = "bbbbbbb3"
)

// Keys lists the ring's keys. Once it was rotated the old one is held by a workflow until it was asked for a second time to retire it.
func (f *Fake) Keys(context.Context) (orchestrator.KeysView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := orchestrator.KeysView{Source: "/data/keyring.json", Payloads: true, Held: f.heldKeys()}
	tables := []orchestrator.KeyTable{{Table: "secrets", Rows: 2}, {Table: "states", Rows: 5}}
	if f.retired < 2 {
		v.Keys = append(v.Keys, orchestrator.KeyView{ID: oldKey, Created: f.now.Add(-48 * time.Hour), Seals: !f.rotated, Tables: []orchestrator.KeyTable{}})
	}
	if f.rotated {
		v.Keys = append(v.Keys, orchestrator.KeyView{ID: newKey, Created: f.now, Seals: true})
	}
	newest := &v.Keys[len(v.Keys)-1]
	newest.Rows, newest.Tables = 7, tables
	return v, nil
}

func (f *Fake) heldKeys() []orchestrator.KeyHold {
	if !f.rotated || f.retired > 0 {
		return []orchestrator.KeyHold{}
	}
	return []orchestrator.KeyHold{{
		Kind: orchestrator.HoldWorkflow, Subject: "run/inst/r-1", What: "it is open", Next: "wait for its run, or cancel it: meridian run cancel r-1", Keys: []string{oldKey},
	}}
}

// RotateKeys makes the second key, and only that.
func (f *Fake) RotateKeys(_ context.Context, actor string) (orchestrator.RotateView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "rotate keys "+actor)
	v := orchestrator.RotateView{Key: newKey, Resealed: 7, Old: []string{oldKey}, Finished: f.rotated}
	f.rotated = true
	v.Held = f.heldKeys()
	return v, nil
}

// RetireKeys takes the old key out when it is asked for a second time.
func (f *Fake) RetireKeys(_ context.Context, actor string) (orchestrator.RetireView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "retire keys "+actor)
	v := orchestrator.RetireView{Key: newKey, Retired: []string{}, Source: "/data/keyring.json", Held: f.heldKeys()}
	if !f.rotated {
		v.Key = oldKey
		return v, nil
	}
	if f.retired++; f.retired == 2 {
		v.Retired = append(v.Retired, oldKey)
	}
	return v, nil
}
