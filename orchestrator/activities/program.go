package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"meridian/stacks/terraform"
)

// Program is a runner that this process executes: a copy, under a name made of its content, of the one that was installed with it. An
// upgrade may replace the installed one at any moment; what runs goes on with what it was started from.
type Program struct {
	Path string
	used *os.File
}

// LayProgram copies a program into the site and says that it is in use until Close or the end of the process. Runners remove copies that
// no process uses and no attempt names.
func LayProgram(site terraform.Site, installed string) (*Program, error) {
	sum, err := hashOf(installed)
	if err != nil {
		return nil, fmt.Errorf("the runner %s: %w", installed, err)
	}
	dir := site.Runner(sum[:terraform.RunnerNameLength])
	p := &Program{Path: filepath.Join(dir, terraform.RunnerFile)}
	for {
		if p.used, err = useProgram(dir); err != nil {
			return nil, fmt.Errorf("a copy of the runner: %w", err)
		}
		// The directory may have been removed, with the lock in it, between its making and the locking.
		if here, err := os.Stat(filepath.Join(dir, terraform.RunnerLockFile)); err == nil {
			if mine, err := p.used.Stat(); err == nil && os.SameFile(here, mine) {
				break
			}
		}
		p.Close()
	}
	if have, err := hashOf(p.Path); err == nil && have == sum {
		return p, nil
	}
	if err := copyProgram(installed, p.Path, sum); err != nil {
		p.Close()
		return nil, fmt.Errorf("a copy of the runner: %w", err)
	}
	return p, nil
}

// Close says that this process uses the copy no more.
func (p *Program) Close() { p.used.Close() }

// useProgram makes a copy's directory and holds the shared lock in it.
func useProgram(dir string) (*os.File, error) {
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(filepath.Join(dir, terraform.RunnerLockFile), os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was just removed
		}
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return f, nil
	}
}

// copyProgram copies a program beside its place, checks that it is the one that was hashed, and renames it there.
func copyProgram(from, to, sum string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), in)
	if err = errors.Join(err, out.Chmod(0o700), out.Sync(), out.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("%s was replaced meanwhile: start again", from)
	}
	return os.Rename(out.Name(), to)
}

func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
