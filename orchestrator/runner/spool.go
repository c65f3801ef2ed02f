package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// The files of a spool. It is the record of one attempt: it is begun before anything is staged and removed last of all. Nothing that terraform or a
// plugin says is in it in clear.
const (
	attemptFile   = "attempt.json"         // by the runner, once it has the fence
	shimFile      = "shim.json"            // by the shim, before it starts terraform
	terraformFile = "terraform.json"       // by the shim, once terraform runs
	exitFile      = "exit.json"            // by the shim, once terraform is dead
	cancelFile    = "cancel.json"          // by the runner, before it tells terraform to stop
	snapshotFile  = terraform.SpooledState // the newest valid state, sealed
)

// attempt is what an adopter must know of an attempt. It holds no secret.
type attempt struct {
	ID       string           `json:"id"`
	Step     string           `json:"step"`
	Kind     journal.StepKind `json:"kind"`
	Stack    stacks.StackID   `json:"stack"`
	Fence    journal.Fence    `json:"fence"`
	BootID   string           `json:"bootId"`
	Serial   int64            `json:"serial"` // of the state that was staged
	Lineage  string           `json:"lineage"`
	Binary   string           `json:"binary"`
	Version  string           `json:"version"`
	Product  string           `json:"product"`
	Template string           `json:"template"`
	// Format is the version of what lies in the spool, Runner the copy that the runner was started from ("" where it is none).
	Format    int       `json:"format"`
	Runner    string    `json:"runner,omitempty"`
	StartedAt time.Time `json:"startedAt"`
}

// shimRecord says where terraform's parent is. Session is the shim's own, shared by terraform and its plugins.
type shimRecord struct {
	process
	Session int `json:"session"`
}

// exitRecord says how terraform ended. Error is set where it could not be started.
type exitRecord struct {
	Code   int       `json:"code"`
	Signal string    `json:"signal,omitempty"`
	Error  string    `json:"error,omitempty"`
	At     time.Time `json:"at"`
}

// cancelRecord says since when terraform has been told to stop.
type cancelRecord struct {
	At time.Time `json:"at"`
	// Boot is the same by the boot clock, by which its grace is counted: the wall clock may jump. 0 in a record of an earlier version.
	Boot time.Duration `json:"boot,omitempty"`
	// Lease says that it was not asked for: the site's lease on the stack came to its end.
	Lease bool `json:"lease,omitempty"`
	// Shutdown says that it was not asked for either: the host shuts down, and terraform's time to finish was over.
	Shutdown bool `json:"shutdown,omitempty"`
	// Hang is for how long nothing had moved where that was the reason.
	Hang time.Duration `json:"hang,omitempty"`
}

// spool is the directory of one stack's attempt.
type spool struct{ dir string }

func (s spool) path(name string) string { return filepath.Join(s.dir, name) }

// begin empties the spool and writes the attempt down, synced: from here on a later runner settles it.
func (s spool) begin(a attempt) error {
	if err := s.remove(); err != nil {
		return err
	}
	if err := mkdir(s.dir); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := s.put(attemptFile, a, true); err != nil {
		return err
	}
	// The directories above may be new, too: a record whose directory is lost with the power is lost.
	for dir, n := filepath.Dir(s.dir), 0; n < spoolDepth; dir, n = filepath.Dir(dir), n+1 {
		if err := disk.syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("spool: %w", err)
		}
	}
	return nil
}

// spoolDepth is how many directories lead from the site's root to a stack's spool.
const spoolDepth = 4

// remove removes the spool, the attempt's record last, so that a half-removed spool is still settled.
func (s spool) remove() error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	for _, e := range entries {
		if e.Name() == attemptFile {
			continue
		}
		if err := disk.remove(s.path(e.Name())); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
	if err := disk.remove(s.dir); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// put writes one JSON file whole: it is there completely or not at all.
func (s spool) put(name string, v any, durable bool) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("spool %s: %w", name, err)
	}
	return writeWhole(s.path(name), data, durable)
}

// errDamaged means that a file of the spool is not what was written: files are written whole, so the disk is bad.
var errDamaged = errors.New("it is damaged")

// get reads one JSON file; ok is false where there is none.
func (s spool) get(name string, v any) (ok bool, err error) {
	data, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("spool: %w", err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("spool %s: %w: %w", name, errDamaged, err)
	}
	return true, nil
}

// has reports whether a file is there.
func (s spool) has(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

// writeWhole writes a file beside its place and renames it there; durable syncs the file and its directory.
func writeWhole(path string, data []byte, durable bool) error {
	tmp := path + ".tmp"
	err := disk.write(tmp, data, durable)
	if err == nil {
		err = disk.rename(tmp, path)
	}
	if err == nil && durable {
		err = disk.syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// mkdir makes a directory, 0700, with its parents.
func mkdir(dir string) error { return disk.mkdirAll(dir) }

// age is how long ago terraform was told to stop.
func (c cancelRecord) age(wall time.Time, boot time.Duration, noBootClock error) time.Duration {
	if c.Boot == 0 || noBootClock != nil {
		return wall.Sub(c.At)
	}
	return boot - c.Boot
}
