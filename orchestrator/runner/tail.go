package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"meridian/persistence/journal"
)

// Bounds of one shipment, and of one line: what is longer is cut (it is then no event, but text).
const (
	maxLine       = 1 << 20
	maxBatchBytes = 4 << 20
	readSize      = 64 << 10
)

// tail reads terraform's output file line by line. A line's sequence is its number from 1, so an adopter counts the same.
type tail struct {
	path    string
	earlier string // where a runner of the version before has the file
	f       *os.File
	seq     int64
	partial []byte
	buf     []byte
	eof     bool
	named   bool // its name is on the disk
}

// next returns the whole lines that were not returned yet, up to the bound of a shipment; rest asks for a last line without an end too.
func (t *tail) next(rest bool) ([]journal.Event, error) {
	if t.f == nil {
		f, err := os.Open(t.where())
		if errors.Is(err, fs.ErrNotExist) {
			t.eof = true
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("output: %w", err)
		}
		t.f = f
	}
	var out []journal.Event
	if t.buf == nil {
		t.buf = make([]byte, readSize)
	}
	t.eof = false
	for size := 0; size < maxBatchBytes; {
		n, err := t.f.Read(t.buf)
		size += n
		out = t.split(out, t.buf[:n])
		if errors.Is(err, io.EOF) {
			t.eof = true
			break
		}
		if err != nil {
			return out, fmt.Errorf("output: %w", err)
		}
	}
	if rest && t.eof && len(t.partial) > 0 {
		out = t.split(out, []byte("\n"))
	}
	return out, nil
}

// where is where the file lies.
func (t *tail) where() string {
	if t.earlier != "" {
		if _, err := os.Lstat(t.earlier); err == nil {
			return t.earlier
		}
	}
	return t.path
}

// split cuts what was read into lines.
func (t *tail) split(out []journal.Event, data []byte) []journal.Event {
	for len(data) > 0 {
		line, more, whole := bytes.Cut(data, []byte("\n"))
		if room := maxLine - len(t.partial); len(line) > room {
			line = line[:room]
		}
		t.partial = append(t.partial, line...)
		if !whole {
			return out
		}
		data = more
		t.seq++
		text := bytes.TrimSuffix(t.partial, []byte("\r"))
		out = append(out, journal.Event{Seq: t.seq, At: time.Now().UTC(), Payload: bytes.Clone(text)})
		t.partial = t.partial[:0]
	}
	return out
}

// sync makes durable what terraform has written; without it a lost power could take lines that people have seen.
func (t *tail) sync() error {
	if t.f == nil {
		return nil
	}
	if err := t.f.Sync(); err != nil || t.named {
		return err
	}
	// The directories above are as new as the file.
	for dir, n := filepath.Dir(t.f.Name()), 0; n < saidDepth; dir, n = filepath.Dir(dir), n+1 {
		if err := disk.syncDir(dir); err != nil {
			return err
		}
	}
	t.named = true
	return nil
}

// saidDepth is how many directories lead from the site's root to the file: its own, the stack's three, and that of all work.
const saidDepth = 5

func (t *tail) close() {
	if t.f != nil {
		_ = t.f.Close()
	}
}
