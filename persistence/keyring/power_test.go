package keyring

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// powered is a file layer over a real directory that knows what a loss of power would leave. Names that were not synced may have arrived or not;
// what files hold is synced when they are written.
type powered struct {
	osLayer
	now, durable map[string]string // name -> what it holds
	// after is called when an operation has been done, and may be told so by a power loss at that moment.
	after func()
}

func (p *powered) writeTemp(dir string, text []byte) (string, error) {
	path, err := p.osLayer.writeTemp(dir, text)
	p.now[filepath.Base(path)] = string(text)
	p.after()
	return path, err
}

func (p *powered) rename(from, to string) error {
	err := p.osLayer.rename(from, to)
	p.now[filepath.Base(to)] = p.now[filepath.Base(from)]
	delete(p.now, filepath.Base(from))
	p.after()
	return err
}

func (p *powered) link(from, to string) error {
	err := p.osLayer.link(from, to)
	if err == nil {
		p.now[filepath.Base(to)] = p.now[filepath.Base(from)]
	}
	p.after()
	return err
}

func (p *powered) syncDir(dir string) error {
	err := p.osLayer.syncDir(dir)
	p.durable = maps.Clone(p.now)
	p.after()
	return err
}

// TestPowerLoss loses the power after every operation on the ring's file, while a ring is made, rotated and retired, and while another process seals
// all the time: whatever was sealed is opened by the ring that is found.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	p := &powered{now: map[string]string{}, durable: map[string]string{}}
	before := disk
	disk = p
	t.Cleanup(func() { disk = before })

	var sealed [][]byte // by anybody, at any moment so far
	var other *Keyring
	moments, sealing := 0, false
	p.after = func() {
		if sealing {
			return // the other process's own operations
		}
		sealing = true
		defer func() { sealing = false }()
		if other == nil {
			k, err := Open(Source{Dir: dir}, false)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrLost) {
				t.Fatal(err)
			}
			other = k
		}
		if other != nil {
			text, err := other.Seal([]byte("row"), "row 1")
			if err != nil {
				t.Fatal(err)
			}
			sealed = append(sealed, text)
		}
		for _, names := range []map[string]string{p.durable, p.now} {
			moments++
			p.found(t, names, sealed)
		}
	}
	mine, err := Open(Source{Dir: dir}, true)
	if err != nil {
		t.Fatal(err)
	}
	old := mine.IDs()
	if _, err := mine.Rotate(); err != nil {
		t.Fatal(err)
	}
	if other == nil || !slices.Equal(other.IDs(), mine.IDs()) || len(mine.IDs()) != 2 {
		t.Fatalf("rings %v and %v", mine.IDs(), other)
	}
	sealed = slices.DeleteFunc(sealed, func(text []byte) bool { return string(text[1:PrefixLen]) == old[0] }) // sealed again by now
	if _, err := mine.Retire(nil, -time.Second); err != nil {
		t.Fatal(err)
	}
	if moments < 15 || len(sealed) < 5 {
		t.Errorf("%d moments, %d values: the test looks at too little", moments, len(sealed))
	}
}

// found opens what was sealed with the ring that a loss of power leaves.
func (p *powered) found(t *testing.T, names map[string]string, sealed [][]byte) {
	t.Helper()
	layer := disk
	disk = osLayer{}
	defer func() { disk = layer }()
	root := t.TempDir()
	for name, text := range names {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k, err := Open(Source{Dir: root}, len(sealed) == 0) // a new ring is made only where nothing is sealed
	if err != nil {
		t.Fatalf("the ring that is found: %v", err)
	}
	for _, text := range sealed {
		if _, err := k.Open(text, "row 1"); err != nil {
			t.Errorf("what was sealed is lost: %v", err)
		}
	}
}
