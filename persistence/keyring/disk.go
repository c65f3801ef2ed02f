package keyring

import (
	"errors"
	"os"
	"path/filepath"
)

// fileLayer is what the ring's file is written with. Tests put one in its place that forgets, at a loss of power, what was not synced.
type fileLayer interface {
	// writeTemp writes a new file of mode 0600 in a directory and syncs what it holds, not its name.
	writeTemp(dir string, text []byte) (path string, err error)
	rename(from, to string) error
	link(from, to string) error
	// syncDir makes what a directory lists durable.
	syncDir(dir string) error
}

// disk is the layer in use.
var disk fileLayer = osLayer{}

// osLayer is the operating system's.
type osLayer struct{}

func (osLayer) writeTemp(dir string, text []byte) (path string, err error) {
	f, err := os.CreateTemp(dir, "."+FileName+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func (osLayer) rename(from, to string) error { return os.Rename(from, to) }

func (osLayer) link(from, to string) error { return os.Link(from, to) }

func (osLayer) syncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
