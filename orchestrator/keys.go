package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/keyring"
)

// KeysView is the ring, without its keys.
type KeysView struct {
	// Source says where the ring comes from. Given is set where that is outside, so that only a person can change it.
	Source string `json:"source"`
	Given  bool   `json:"given,omitempty"`
	// Payloads says that Temporal is given sealed payloads.
	Payloads bool `json:"payloads"`
	// Keys are the ring's, oldest first; the last one seals.
	Keys []KeyView `json:"keys"`
	// Lost are keys that rows are sealed with and that the ring does not hold.
	Lost []KeyView `json:"lost,omitempty"`
	// Held is what older keys are still needed for, or may be.
	Held []KeyHold `json:"held"`
	// Elsewhere says who works with this store on other sites: while somebody does, no key is made here.
	Elsewhere []string `json:"elsewhere,omitempty"`
}

// KeyView is what may be known of a key.
type KeyView struct {
	ID string `json:"id"`
	// Created is when it was made, zero where the ring does not say.
	Created time.Time `json:"created,omitzero"`
	Seals   bool      `json:"seals,omitempty"`
	// Rows are sealed with it, in these tables.
	Rows   int64      `json:"rows"`
	Tables []KeyTable `json:"tables"`
}

// KeyTable says how many rows of a table a key has sealed.
type KeyTable struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// RotateView is what a rotation did.
type RotateView struct {
	// Key seals from now on.
	Key string `json:"key"`
	// Finished says that no key was made: an earlier rotation had not sealed everything again, and now it has.
	Finished bool `json:"finished,omitempty"`
	// Resealed is how many rows older keys had sealed.
	Resealed int64 `json:"resealed"`
	// Old are the keys that can be retired once nothing holds them any more.
	Old  []string  `json:"old"`
	Held []KeyHold `json:"held"`
}

// RetireView is what became of the older keys.
type RetireView struct {
	Key      string `json:"key"`
	Resealed int64  `json:"resealed"`
	// Retired are the keys that are no longer in the ring.
	Retired []string `json:"retired"`
	// TakeOut are the keys that nothing holds and that a person may take out of Source, which is not ours.
	TakeOut []string `json:"takeOut,omitempty"`
	Source  string   `json:"source"`
	// Held says why nothing was retired, where something holds an older key.
	Held []KeyHold `json:"held"`
}

// Keys says which keys the ring has and what each is still needed for. It shows no key.
func (c *Client) Keys(ctx context.Context) (KeysView, error) {
	f, tables, err := c.keyFacts(ctx)
	if err != nil {
		return KeysView{}, err
	}
	v := KeysView{Source: c.catalog.Keys().Source(), Given: f.given, Payloads: c.payloads.Sealed, Held: f.held(), Elsewhere: f.elsewhere()}
	known := map[string]bool{}
	for i, k := range f.keys {
		known[k.ID] = true
		v.Keys = append(v.Keys, KeyView{ID: k.ID, Created: k.Created, Seals: i == len(f.keys)-1, Rows: f.rows[k.ID], Tables: tables[k.ID]})
	}
	for _, id := range slices.Sorted(maps.Keys(f.rows)) {
		if !known[id] {
			v.Lost = append(v.Lost, KeyView{ID: id, Rows: f.rows[id], Tables: tables[id]})
		}
	}
	return v, nil
}

// RotateKeys makes a key that seals from now on, and seals all rows again. It can be killed at any moment: asked again, it finishes that before
// it makes another key.
func (c *Client) RotateKeys(ctx context.Context, actor string) (RotateView, error) {
	if !c.rotating.TryLock() {
		return RotateView{}, errRotating()
	}
	defer c.rotating.Unlock()
	ring := c.catalog.Keys()
	if ring.Given() {
		return RotateView{}, &Problem{
			Code: CodeRefused, Title: "the ring is not ours to change", Detail: "it comes from " + ring.Source(),
			Next: "append a key there, with its \"created\" (the last key of a JSON ring seals, and the older ones have to stay); start the server and every worker again; then: meridian keys retire",
		}
	}
	f, _, err := c.keyFacts(ctx)
	if err != nil {
		return RotateView{}, err
	}
	if err := c.mayRotate(f); err != nil {
		return RotateView{}, err
	}
	v := RotateView{Key: f.newest().ID}
	for _, id := range f.old() {
		v.Resealed += f.rows[id]
	}
	v.Finished = v.Resealed > 0
	audit := catalog.Audit{Actor: actor, Verb: "rotate keys", Subject: "keyring", Detail: "a new key after " + v.Key}
	if v.Finished {
		audit.Detail = "finish the rotation to " + v.Key
	}
	if err := c.catalog.RecordAudit(ctx, audit); err != nil {
		return v, err
	}
	if !v.Finished {
		v.Resealed = f.rows[v.Key]
		if v.Key, err = ring.Rotate(); err != nil {
			return RotateView{}, ringProblem(ring, err)
		}
		c.logger.Info("a new key seals", "key", v.Key)
	}
	if err := c.reseal(ctx); err != nil {
		return v, err
	}
	if f, _, err = c.keyFacts(ctx); err != nil {
		return v, err
	}
	v.Old, v.Held = f.old(), f.held()
	return v, nil
}

// RetireKeys seals everything again that the newest key did not seal, and takes the older keys out of the ring where nothing holds one.
func (c *Client) RetireKeys(ctx context.Context, actor string) (RetireView, error) {
	if !c.rotating.TryLock() {
		return RetireView{}, errRotating()
	}
	defer c.rotating.Unlock()
	ring := c.catalog.Keys()
	v := RetireView{Retired: []string{}, Held: []KeyHold{}, Source: ring.Source()}
	f, _, err := c.keyFacts(ctx)
	if err != nil {
		return v, err
	}
	v.Key = f.newest().ID
	for _, id := range f.old() {
		v.Resealed += f.rows[id]
	}
	if v.Resealed > 0 {
		if err := c.reseal(ctx); err != nil {
			return v, err
		}
		if f, _, err = c.keyFacts(ctx); err != nil {
			return v, err
		}
	}
	old := f.old()
	v.Held = f.held()
	switch {
	case len(old) == 0 || len(v.Held) > 0:
		return v, nil
	case f.given:
		v.TakeOut = old
		return v, nil
	}
	audit := catalog.Audit{Actor: actor, Verb: "retire keys", Subject: "keyring", Detail: strings.Join(old, ", ") + "; what was sealed with them, like backups of before, needs the ring of before"}
	if err := c.catalog.RecordAudit(ctx, audit); err != nil {
		return v, err
	}
	used, err := c.catalog.Store().SealedPrefixes(ctx, keyring.PrefixLen)
	if err != nil {
		return v, err
	}
	if v.Retired, err = ring.Retire(used, f.grace); err != nil {
		return v, ringProblem(ring, err)
	}
	c.logger.Info("keys are retired", "keys", v.Retired)
	return v, nil
}

// mayRotate refuses while others would not have the key that is made.
func (c *Client) mayRotate(f keyFacts) error {
	if c.catalog.Store().Shared() && f.away != "" {
		return &Problem{Code: CodeUnavailable, Title: "who works with this store cannot be known", Detail: f.away, Next: "wait until Temporal answers, then rotate"}
	}
	others := f.elsewhere()
	if len(others) == 0 {
		return nil
	}
	return &Problem{
		Code: CodeRefused, Title: "other sites work with this store and would not have the new key", Detail: strings.Join(others, "; "),
		Next: "let their runs end, stop their workers (" + forgotten() + "), rotate, copy " + keyring.FileName +
			" into their data directories, start them again; a machine that is gone: meridian site declare-dead",
	}
}

// reseal seals all rows again that the newest key did not seal.
func (c *Client) reseal(ctx context.Context) error {
	err := c.catalog.Reseal(ctx)
	if err == nil {
		err = c.journal.Reseal(ctx)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(err, keyring.ErrLost) || errors.Is(err, keyring.ErrTampered) {
		return &Problem{Code: CodeRefused, Title: "not everything could be sealed again", Detail: err.Error(), Next: "meridian fsck names the rows; put that right, then go on with the same verb: every key is still in the ring"}
	}
	return fmt.Errorf("seal again (the same verb goes on): %w", err)
}

// ringProblem says what can be done about a ring that could not be changed.
func ringProblem(ring *keyring.Keyring, err error) error {
	if errors.Is(err, keyring.ErrInUse) {
		return &Problem{Code: CodeConflict, Title: "an older key is in use again", Detail: err.Error(), Next: "do it again: meridian keys retire"}
	}
	return &Problem{
		Code: CodeRefused, Title: "the ring could not be changed, and is as it was", Detail: err.Error(),
		Next: "see that " + ring.Source() + " is there, and that the server may write its directory; one that is gone has to come back from its backup before the server stops",
	}
}

func errRotating() error {
	return &Problem{Code: CodeConflict, Title: "somebody else changes the ring right now", Next: "wait a moment, then look: meridian keys list"}
}

// payloadKey is the ID of the key that seals what Temporal is given, "" where nothing is sealed.
func (c *Client) payloadKey() (string, error) {
	if !c.payloads.Sealed {
		return "", nil
	}
	keys, err := c.catalog.Keys().Keys()
	if err != nil {
		return "", err
	}
	return keys[len(keys)-1].ID, nil
}
