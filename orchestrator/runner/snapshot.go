package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// watchState spools every valid state with a higher serial until ctx ends. terraform rewrites its state in place, so a look right
// after the first sign of a change would mostly see half a file: it is debounced.
func (r *run) watchState(ctx context.Context) {
	dir := r.site.WorkDir(r.att.Stack)
	path := filepath.Join(dir, terraform.StateFileName)
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer func() { _ = watcher.Close() }()
		err = watcher.Add(dir)
	}
	var seen <-chan fsnotify.Event
	var lost <-chan error
	if err != nil {
		r.log.Warn("watch the state by polling", "error", err)
	} else {
		seen, lost = watcher.Events, watcher.Errors
	}
	var due <-chan time.Time
	arm := func() {
		if due == nil {
			due = time.After(r.timing.SnapshotDebounce)
		}
	}
	arm()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-seen:
			if !ok {
				seen = nil
			}
			if ok && e.Name == path {
				arm()
			}
		case err, ok := <-lost:
			if !ok {
				lost = nil
			}
			if ok { // events were dropped: look anyway
				r.log.Warn("watch the state", "error", err)
				arm()
			}
		case <-due:
			due = nil
			// A torn look is followed by another; without a watcher every look is.
			if torn := r.snapshotFile(path); torn || seen == nil {
				arm()
			}
		}
	}
}

// snapshotFile spools the state file if it is valid and newer; torn reports a file that is not whole.
func (r *run) snapshotFile(path string) (torn bool) {
	r.looks.Lock()
	defer r.looks.Unlock()
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	if !terraform.ValidSnapshot(data) {
		return true
	}
	if !r.keep(data) {
		return false
	}
	if err := r.spool.putSnapshot(r.keys, r.att.Stack, data); err != nil {
		r.log.Error("spool the state", "error", err)
	}
	return false
}

// keep takes a state as the newest if it is valid, of this stack's lineage and newer than what is kept.
func (r *run) keep(data []byte) bool {
	if data == nil {
		return false
	}
	file, err := terraform.ReadState(data)
	if err != nil {
		return false
	}
	if file.Lineage != r.att.Lineage {
		r.log.Warn("a state of another lineage is not kept", "lineage", file.Lineage, "serial", file.Serial)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if file.Serial <= r.att.Serial || (r.newest != nil && file.Serial <= r.newest.Serial) {
		return false
	}
	sum := sha256.Sum256(data)
	r.newest = &journal.State{
		Stack: r.att.Stack, Fence: r.att.Fence, Serial: file.Serial, Lineage: file.Lineage,
		SHA256: hex.EncodeToString(sum[:]), Payload: data, At: time.Now().UTC(),
	}
	return true
}

// newestState is the newest state that this attempt is known to have written, or nil.
func (r *run) newestState() *journal.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}
