package activities

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// keepLogs is how long a runner's own log is kept after its last line: what it did for people is in the journal.
	keepLogs = 14 * 24 * time.Hour
	// maxLogs bounds all of them together.
	maxLogs = 64 << 20
)

// PruneLogs removes runners' own logs that are old, and the oldest where all together are large.
func (a *Activities) PruneLogs() error {
	entries, err := os.ReadDir(a.Site.LogDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("runner logs: %w", err)
	}
	var logs []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && filepath.Ext(e.Name()) == ".log" { // else it went meanwhile, or is not ours
			logs = append(logs, info)
		}
	}
	for _, name := range outdated(logs, time.Now()) {
		if err := os.Remove(filepath.Join(a.Site.LogDir(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("runner logs: %w", err)
		}
	}
	return nil
}

// outdated names the logs that go: those that are old, and of the others those that are too much, the oldest first. It is pure.
func outdated(logs []fs.FileInfo, now time.Time) []string {
	slices.SortFunc(logs, func(x, y fs.FileInfo) int { return y.ModTime().Compare(x.ModTime()) })
	var out []string
	var size int64
	for _, l := range logs {
		size += l.Size()
		if now.Sub(l.ModTime()) > keepLogs || size > maxLogs {
			out = append(out, l.Name())
		}
	}
	return out
}
