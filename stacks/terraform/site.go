// Package terraform knows what goes into and comes out of terraform, without running it: work directory, lock file, event stream,
// plan file, state file, typed errors, and the runner's protocol.
//
// It must never start a process or open a socket.
package terraform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/stacks"
)

// Site is one kernel with one work directory and one lock directory: the data directory of a Meridian. Its methods are the only
// place that knows where things lie under it.
type Site struct{ Root string }

// stackDir is "<namespace>/<name>-<incarnation>/<region>".
func stackDir(id stacks.StackID) string {
	return filepath.Join(id.Namespace, id.Name+"-"+id.Incarnation, id.Region)
}

// WorkDir is the one absolute work path of a stack, 0700, the same for plan and apply.
func (s Site) WorkDir(id stacks.StackID) string { return filepath.Join(s.Root, "work", stackDir(id)) }

// ScratchLockEnd ends the name of the lock beside a scratch copy, which whoever works in it holds.
const ScratchLockEnd = ".lock"

// CheckDir is the scratch copy of one check step.
func (s Site) CheckDir(step string) string {
	return filepath.Join(s.Root, "check", filepath.FromSlash(step))
}

// Files of a spool that hold what was not shipped, sealed (journal.OpenSpooled).
const (
	// SpooledState is the newest valid state.
	SpooledState = "state.sealed"
	// SpooledOutput is what terraform said, once a person has to look at it.
	SpooledOutput = "output.sealed"
)

// Files of a spool that the version before left: in clear.
const (
	// StateInClear is the newest valid state behind four bytes, its checksum.
	StateInClear = "state.snapshot"
	// OutputInClear is what terraform said.
	OutputInClear = "output.ndjson"
)

// SpoolDir holds what the runner has written down and not yet shipped: attempt.json, the newest state, exit.json.
func (s Site) SpoolDir(id stacks.StackID) string {
	return filepath.Join(s.Root, "spool", stackDir(id))
}

// IDFile names the site: heads carry its ID, so that another site's attempt is never taken for one of ours. The runner makes it when it is first asked for terraform.
func (s Site) IDFile() string { return filepath.Join(s.Root, "site") }

// ID reads the site's ID; it is empty where no runner was ever started here.
func (s Site) ID() (string, error) {
	text, err := os.ReadFile(s.IDFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("site: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Spools lists the directories of all spools that are there.
func (s Site) Spools() ([]string, error) {
	return filepath.Glob(filepath.Join(s.Root, "spool", "*", "*", "*"))
}

// RunnerLock is held by a living runner and never inherited.
func (s Site) RunnerLock(id stacks.StackID) string {
	return filepath.Join(s.Root, "locks", stackDir(id)+".runner")
}

// StackLock is inherited by shim, terraform and plugins: while it is held, something of an attempt lives.
func (s Site) StackLock(id stacks.StackID) string {
	return filepath.Join(s.Root, "locks", stackDir(id)+".stack")
}

// Templates holds ready-made .terraform directories, one per set of providers.
func (s Site) Templates() string { return filepath.Join(s.Root, "templates") }

// Mirror is the unpacked filesystem mirror with our own plugins.
func (s Site) Mirror() string { return filepath.Join(s.Root, "plugins") }

// LogDir holds the runners' own logs.
func (s Site) LogDir() string { return filepath.Join(s.Root, "logs") }

// Bin holds the binaries that Meridian installed itself.
func (s Site) Bin() string { return filepath.Join(s.Root, "bin") }

// Terraforms holds the programs that made plans which may still be applied, one directory per product and version.
func (s Site) Terraforms() string { return filepath.Join(s.Root, "terraforms") }

// Runners holds the copies of meridian-runner that servers, workers and attempts of this site use, each in a directory named after its content.
func (s Site) Runners() string { return filepath.Join(s.Root, "runners") }

// Runner is the directory of one copy: the program, and a lock that who uses it holds shared.
func (s Site) Runner(name string) string { return filepath.Join(s.Runners(), name) }

// What lies in the directory of a runner's copy, and how long its name is: so much of the SHA-256 of its content, in hex.
const (
	RunnerFile       = "meridian-runner"
	RunnerLockFile   = "used"
	RunnerNameLength = 32
)

// FoundFile remembers which terraform was found, so that it need not be started to be asked again.
func (s Site) FoundFile() string { return filepath.Join(s.Root, "terraform.json") }

// LeavingFile says that the site's host shuts down, and since when; it holds for one boot.
func (s Site) LeavingFile() string { return filepath.Join(s.Root, "leaving.json") }
