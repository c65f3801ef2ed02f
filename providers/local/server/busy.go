package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Busy reports whether somebody works on the server of a home right now: a plugin, or a program that it started and that has outlived it.
// An absent home is not busy.
func Busy(home string) (bool, error) {
	f, err := os.Open(home)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether %s is worked on: %w", home, err)
	}
	defer f.Close() // which lets go of the lock
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether %s is worked on: %w", home, err)
	}
	return false, nil
}
