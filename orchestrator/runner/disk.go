package runner

import (
	"errors"
	"io/fs"
	"os"
)

// fileLayer is what the records of a spool are written with. Tests put one in its place that forgets, at a loss of power, what was not
// synced.
type fileLayer interface {
	// write makes or empties a file, writes it, and syncs it where durable.
	write(path string, data []byte, durable bool) error
	rename(from, to string) error
	link(from, to string) error
	mkdirAll(dir string) error
	remove(path string) error
	// syncDir makes what a directory lists durable: files made, renamed and removed.
	syncDir(dir string) error
}

// disk is the layer in use.
var disk fileLayer = osLayer{}

// osLayer is the operating system's.
type osLayer struct{}

func (osLayer) write(path string, data []byte, durable bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (osLayer) rename(from, to string) error { return os.Rename(from, to) }

func (osLayer) link(from, to string) error { return os.Link(from, to) }

// mkdirAll makes a directory, 0700, with its parents; a parent may vanish in between when another stack is forgotten.
func (osLayer) mkdirAll(dir string) error {
	var err error
	for range 10 {
		if err = os.MkdirAll(dir, 0o700); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

func (osLayer) remove(path string) error { return os.RemoveAll(path) }

func (osLayer) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
