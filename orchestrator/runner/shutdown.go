package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"meridian/stacks/terraform"
)

// errLeaving means that the host shuts down: terraforms that run may finish, and no other is started.
var errLeaving = errors.New("this host shuts down; the step is started once it is back, or on another")

// departure is since when a runner knows that its host shuts down, by the boot clock: the wall clock may jump.
type departure struct{ since atomic.Int64 }

// begin is called when the runner is told so; the first time counts.
func (d *departure) begin(clock terraform.Clock, log *slog.Logger) {
	now, err := clock.Boot()
	if err != nil {
		log.Error("told to leave", "error", err)
		return
	}
	if d.since.CompareAndSwap(0, int64(now)) {
		log.Info("the host shuts down: terraform gets its time to finish")
	}
}

// leavingRecord is the file that says for the whole site that its host shuts down.
type leavingRecord struct {
	BootID string `json:"bootId"`
	// Since is by the boot clock of that boot.
	Since time.Duration `json:"since"`
	// Finish is how long terraforms may go on; 0 is what the settings say.
	Finish time.Duration `json:"finish,omitempty"`
}

// readLeaving reads that file; ok is false where there is none of this boot. One that cannot be read is none: nothing is stopped for it.
func readLeaving(site terraform.Site, boot string) (leavingRecord, bool) {
	var l leavingRecord
	data, err := os.ReadFile(site.LeavingFile())
	if err != nil || json.Unmarshal(data, &l) != nil || l.BootID != boot {
		return leavingRecord{}, false
	}
	return l, true
}

// writeLeaving says that the host shuts down. What an earlier call said since when stays.
func writeLeaving(clock terraform.Clock, site terraform.Site, boot string, finish time.Duration) error {
	l := leavingRecord{BootID: boot, Finish: finish}
	var err error
	if l.Since, err = clock.Boot(); err != nil {
		return err
	}
	if before, ok := readLeaving(site, boot); ok {
		l.Since = before.Since
	}
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return writeWhole(site.LeavingFile(), data, false)
}

// stay takes that back.
func stay(site terraform.Site) error {
	if err := os.Remove(site.LeavingFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("let runners work again: %w", err)
	}
	return nil
}

// leaving reports whether the host shuts down, since when, and for how long terraform may go on after that.
func (w *worker) leaving() (since, finish time.Duration, leaving bool) {
	finish = w.timing.ShutdownFinish
	since = time.Duration(w.told.since.Load())
	if l, ok := readLeaving(w.site, w.boot); ok {
		if since == 0 || l.Since < since {
			since = l.Since
		}
		if l.Finish > 0 {
			finish = l.Finish
		}
	}
	return since, finish, since != 0
}

// mustLeave reports whether terraform's time to finish is over.
func (r *run) mustLeave() bool {
	since, finish, leaving := r.leaving()
	if !leaving {
		return false
	}
	now, err := r.clock.Boot()
	return err == nil && now-since >= finish
}
