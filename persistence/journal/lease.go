package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Sighting is what a taker saw of another site's attempt: the same beat, for a time by the taker's own boot clock, from after the first
// look to before the last.
type Sighting struct {
	Fence Fence
	Beats int64
	For   time.Duration
}

// Over says why an attempt that a head names is proven over for a taker on another site, or "" where it is not. The owner counts its
// lease from before it sent the last beat that it knows to be good, so it ended at most one lease after the taker first saw that beat;
// the tenth more is for clocks that do not run alike. A lease of 0 is a store of one machine: there, time proves nothing.
func Over(h Head, owner Site, seen *Sighting, lease time.Duration) string {
	switch {
	case h.Status != HeadRunning:
		return "it was released"
	case owner.ID == h.Site && owner.BootID != h.BootID:
		return "its machine has booted again"
	case owner.ID == h.Site && owner.Dead():
		return "its site was declared dead by " + owner.DeadBy
	case lease > 0 && seen != nil && seen.Fence == h.Fence && seen.Beats == h.Beats && seen.For >= lease+lease/10:
		return "its lease is over"
	}
	return ""
}

// Proof says, like Over, why the attempt that has a stack's head is proven over, together with the head as it is now.
func (j *Journal) Proof(ctx context.Context, id stacks.StackID, seen *Sighting, lease time.Duration) (h Head, why string, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		row, err := readHead(tx, id)
		if err != nil {
			return err
		}
		h = row.Head
		why, err = proof(tx, h, seen, lease)
		return err
	})
	return h, why, err
}

func proof(tx *store.Tx, h Head, seen *Sighting, lease time.Duration) (string, error) {
	owner, err := readSite(tx, h.Site)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if without(theFence) {
		return "nobody asks", nil
	}
	return Over(h, owner, seen, lease), nil
}

// RaiseEpoch raises the store's epoch within tx, above its own and another (0 where there is none): no fence that was taken before lets a write pass any more. Whoever moves the store while
// attempts may be alive does it; whoever puts an older copy in place calls Refence, which does more.
func (j *Journal) RaiseEpoch(tx *store.Tx, above int64) (epoch int64, err error) {
	if epoch, err = currentEpoch(tx); err != nil {
		return 0, err
	}
	epoch = max(epoch, above) + 1
	if _, err := tx.Exec("UPDATE meta SET value = ? WHERE key = 'epoch'", strconv.FormatInt(epoch, 10)); err != nil {
		return 0, fmt.Errorf("raise the store's epoch: %w", err)
	}
	return epoch, nil
}
