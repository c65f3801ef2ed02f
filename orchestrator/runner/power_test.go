package runner

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// inode is a file as the layer of the tests knows it: what it holds, and what of that is on the disk for certain.
type inode struct {
	now, synced string
}

// powered is a file layer over real directories that remembers what a loss of power would leave at every moment.
type powered struct {
	osLayer
	root string
	// now is what each directory lists: a file's inode, or nil for a directory; durable is what of that is on the disk for certain.
	now, durable map[string]*inode
	// worlds are what may be found after the power is lost, after each operation.
	worlds []world
}

// world is what is found: the content of each file, by its path under the root; directories are "dir".
type world map[string]string

const directory = "\x00dir"

func newPowered(t *testing.T) *powered {
	p := &powered{root: t.TempDir(), now: map[string]*inode{}, durable: map[string]*inode{}}
	before := disk
	disk = p
	t.Cleanup(func() { disk = before })
	return p
}

func (p *powered) rel(path string) string {
	rel, err := filepath.Rel(p.root, path)
	if err != nil {
		panic(err)
	}
	return rel
}

// lost is what is found where the power is lost now: of names that were not synced none, or all, arrived; of contents what was synced.
func (p *powered) lost(names map[string]*inode) world {
	w := world{}
	for path, n := range names {
		whole := true
		for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
			if _, there := names[dir]; !there {
				whole = false // a file whose directory did not arrive
			}
		}
		switch {
		case !whole:
		case n == nil:
			w[path] = directory
		default:
			w[path] = n.synced
		}
	}
	return w
}

func (p *powered) note(err error) error {
	p.worlds = append(p.worlds, p.lost(p.durable), p.lost(p.now))
	return err
}

func (p *powered) write(path string, data []byte, durable bool) error {
	n := &inode{now: string(data)}
	p.now[p.rel(path)] = n
	p.worlds = append(p.worlds, p.lost(p.durable), p.lost(p.now)) // begun, nothing of it there
	if durable {
		n.synced = n.now
	}
	return p.note(p.osLayer.write(path, data, durable))
}

func (p *powered) rename(from, to string) error {
	p.now[p.rel(to)] = p.now[p.rel(from)]
	delete(p.now, p.rel(from))
	return p.note(p.osLayer.rename(from, to))
}

func (p *powered) link(from, to string) error {
	err := p.osLayer.link(from, to)
	if err == nil {
		p.now[p.rel(to)] = p.now[p.rel(from)]
	}
	return p.note(err)
}

func (p *powered) mkdirAll(dir string) error {
	for d := p.rel(dir); d != "."; d = filepath.Dir(d) {
		p.now[d] = nil
	}
	return p.note(p.osLayer.mkdirAll(dir))
}

func (p *powered) remove(path string) error {
	maps.DeleteFunc(p.now, func(name string, _ *inode) bool {
		return name == p.rel(path) || strings.HasPrefix(name, p.rel(path)+"/")
	})
	return p.note(p.osLayer.remove(path))
}

func (p *powered) syncDir(dir string) error {
	in := func(name string) bool { return filepath.Dir(name) == p.rel(dir) }
	maps.DeleteFunc(p.durable, func(name string, _ *inode) bool { return in(name) })
	for name, n := range p.now {
		if in(name) {
			p.durable[name] = n
		}
	}
	return p.note(p.osLayer.syncDir(dir))
}

// after lays a world out and calls look with its root.
func (w world) after(t *testing.T, look func(root string)) {
	t.Helper()
	root := t.TempDir()
	for path, content := range w {
		full := filepath.Join(root, path)
		dir := filepath.Dir(full)
		if content == directory {
			dir = full
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if content == directory {
			continue
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look(root)
}

// durably runs an operation and looks at what a loss of power would leave: in the middle of it, what mid allows, and after it, what end does.
func (p *powered) durably(t *testing.T, what string, do func() error, mid, end func(root string) error) {
	t.Helper()
	p.worlds = nil
	if err := do(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for i, w := range p.worlds {
		w.after(t, func(root string) {
			if err := mid(root); err != nil {
				t.Errorf("%s, the power lost at %d of %d: %v\n%v", what, i, len(p.worlds), err, w)
			}
		})
	}
	for _, w := range []world{p.lost(p.durable), p.lost(p.now)} {
		w.after(t, func(root string) {
			if err := end(root); err != nil {
				t.Errorf("%s, the power lost after it: %v\n%v", what, err, w)
			}
		})
	}
}

// TestPowerLoss loses the power at every operation on the files that recovery reads: each is there as it was, or as it became, and what
// was done is never forgotten.
func TestPowerLoss(t *testing.T) {
	p := newPowered(t)
	const place = "spool/default/orders-k3x9q2p7/ankara"
	at := func(root string) spool { return spool{filepath.Join(root, place)} }
	own, keys := at(p.root), testRing(t)
	att := attempt{ID: "a1", Step: "s", Stack: stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "k3x9q2p7", Region: "ankara"}}
	attemptIs := func(want ...string) func(string) error {
		return func(root string) error {
			got, ok, err := at(root).attempt()
			if err != nil {
				return err
			}
			for _, id := range want {
				if ok && got.ID == id || !ok && id == "" {
					return nil
				}
			}
			return fmt.Errorf("attempt %q (there: %v), want one of %q", got.ID, ok, want)
		}
	}
	stateIs := func(want ...string) func(string) error {
		return func(root string) error {
			text, err := at(root).snapshot(keys, att.Stack)
			if err != nil {
				return err
			}
			got := string(text)
			for _, s := range want {
				if got == s {
					return attemptIs("a1")(root)
				}
			}
			return fmt.Errorf("state %q, want one of %q", got, want)
		}
	}
	p.durably(t, "begin", func() error { return own.begin(att) }, attemptIs("", "a1"), attemptIs("a1"))
	p.durably(t, "the first state", func() error { return own.putSnapshot(keys, att.Stack, []byte("one")) }, stateIs("", "one"), stateIs("one"))
	p.durably(t, "the next state", func() error { return own.putSnapshot(keys, att.Stack, []byte("two")) }, stateIs("one", "two"), stateIs("two"))
	exitIs := func(codes ...int) func(string) error {
		return func(root string) error {
			var e exitRecord
			ok, err := at(root).get(exitFile, &e)
			for _, c := range codes {
				if err == nil && (ok && e.Code == c || !ok && c < 0) {
					return nil
				}
			}
			return fmt.Errorf("exit %+v (there: %v), %w", e, ok, errors.Join(err))
		}
	}
	p.durably(t, "the exit code", func() error { return own.put(exitFile, exitRecord{Code: 7}, true) }, exitIs(-1, 7), exitIs(7))
	second := att
	second.ID = "a2"
	p.durably(t, "the next attempt", func() error { return own.begin(second) }, attemptIs("", "a1", "a2"), attemptIs("a2"))
	if _, err := os.Stat(own.path(exitFile)); err == nil {
		t.Error("the next attempt has the exit code of the one before")
	}
	nothingOf := func(root string) error { // the record of another attempt never meets what the one before has left
		var e exitRecord
		_, begun, err := at(root).attempt()
		if ok, _ := at(root).get(exitFile, &e); err == nil && begun && ok {
			return errors.New("it has an exit code")
		}
		return err
	}
	p.durably(t, "the end", own.remove, nothingOf, func(root string) error { return errors.Join(nothingOf(root), attemptIs("", "a2")(root)) })
}

// TestPowerLossOfTheSite: the site's ID is there whole or not at all, and never another one later.
func TestPowerLossOfTheSite(t *testing.T) {
	p := newPowered(t)
	var id string
	read := func(root string) string {
		text, err := os.ReadFile(terraform.Site{Root: root}.IDFile())
		if err != nil {
			return "none"
		}
		return strings.TrimSpace(string(text))
	}
	ensure := func() (err error) {
		id, err = ensureSiteID(terraform.Site{Root: p.root})
		return err
	}
	p.durably(t, "the site", ensure, func(root string) error {
		if got := read(root); got != "none" && got != id {
			return fmt.Errorf("the file says %q", got)
		}
		return nil
	}, func(root string) error {
		if got := read(root); got != id {
			return fmt.Errorf("the file says %q, want %q", got, id)
		}
		return nil
	})
}
