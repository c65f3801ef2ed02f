package chaos

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// entry is one line of the ledger: the plugin appends one before and one after each change.
type entry struct {
	At    time.Time `json:"time"`
	PID   int       `json:"pid"`
	Op    string    `json:"op"`    // create, update, delete
	Phase string    `json:"phase"` // begin, end
	Path  string    `json:"data_dir"`
	Error string    `json:"error"`

	stack string // "incarnation/region"
}

// ledger reads the file as it grows.
type ledger struct {
	file string

	mu      sync.Mutex
	offset  int64
	entries []entry
	open    map[string]entry  // creates that have begun and not ended
	aliases map[string]string // incarnations by what paths say instead
}

func newLedger(file string) *ledger {
	return &ledger{file: file, open: map[string]entry{}, aliases: map[string]string{}}
}

// read takes in the whole lines that are new, and returns all.
func (l *ledger) read() ([]entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.Open(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, l.offset, 1<<40))
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("ledger %s: %w", l.file, err)
		}
		l.offset += int64(len(line))
		e.stack = stackOfPath(e.Path, l.aliases)
		l.entries = append(l.entries, e)
		if e.Op == "create" {
			key := fmt.Sprintf("%d %s", e.PID, e.Path)
			if l.open[key] = e; e.Phase == "end" {
				delete(l.open, key)
			}
		}
	}
	return l.entries, nil
}

// inFlight lists the creates that have begun and not ended and whose process lives, oldest first.
func (l *ledger) inFlight() ([]entry, error) {
	if _, err := l.read(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []entry
	for key, e := range l.open {
		if p, ok := readProcess(e.PID); ok && strings.HasPrefix(filepath.Base(p.args[0]), "terraform-provider-") {
			out = append(out, e)
		} else {
			delete(l.open, key)
		}
	}
	slices.SortFunc(out, func(a, b entry) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Path, b.Path)) })
	return out, nil
}

// alias says by which word the paths of an incarnation are known, where they were chosen before it was.
func (l *ledger) alias(word, incarnation string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aliases[word] = incarnation
}

// wordOf is what the paths of an incarnation say of it.
func (l *ledger) wordOf(incarnation string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for word, of := range l.aliases {
		if of == incarnation {
			return word
		}
	}
	return incarnation
}

// stackOfPath reads a stack from a server's home or a directory beside it: NAMESPACE.NAME.INCARNATION.REGION[.beside.NN], where the
// incarnation may have an alias.
func stackOfPath(path string, aliases map[string]string) string {
	parts := strings.Split(filepath.Base(path), ".")
	if len(parts) < 4 {
		return ""
	}
	return cmp.Or(aliases[parts[2]], parts[2]) + "/" + parts[3]
}

// flaw is something that may not be: what the counts of the last line count.
type flaw struct {
	kind string // orphans, duplicates, lost, stuck, human
	text string
}

// judge reads the ledger from its beginning. mayGo says whether the destruction of an object was approved by then.
//   - A create that begins when one of the object has ended well, and nothing removed it since, is a duplicate.
//   - Two creates of one object at the same time are a duplicate: the first wrote its end after the second had begun.
//   - A removal that nobody approved is a loss.
func judge(entries []entry, mayGo func(entry) bool) []flaw {
	var out []flaw
	made := map[string]bool{}
	for i, e := range entries {
		switch {
		case e.Op == "create" && e.Phase == "begin":
			if made[e.Path] {
				out = append(out, flaw{"duplicates", "created again, though it was finished: " + e.Path})
			} else if other, ok := overlapping(entries[:i], entries[i+1:], e); ok {
				out = append(out, flaw{"duplicates", fmt.Sprintf("created by process %d and by %d at the same time: %s", other, e.PID, e.Path)})
			}
		case e.Op == "create" && e.Error == "":
			made[e.Path] = true
		case e.Op == "delete" && e.Phase == "begin":
			if !mayGo(e) {
				out = append(out, flaw{"lost", "removed, though nobody approved it: " + e.Path})
			}
			made[e.Path] = false
		}
	}
	return out
}

// overlapping finds a create of another process that began before e and ended after it.
func overlapping(before, after []entry, e entry) (pid int, ok bool) {
	open := map[int]bool{}
	for _, b := range before {
		if b.Path == e.Path && b.Op == "create" && b.PID != e.PID {
			open[b.PID] = b.Phase == "begin"
		}
	}
	for _, a := range after {
		if a.Path == e.Path && a.Op == "create" && a.Phase == "end" && open[a.PID] {
			return a.PID, true
		}
	}
	return 0, false
}
