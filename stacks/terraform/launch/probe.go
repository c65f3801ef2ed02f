package launch

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// MinSpace is what must be free, in bytes, before terraform starts.
const MinSpace = 64 << 20

// ErrNoSpace says that a file system is too full to start terraform on.
var ErrNoSpace = errors.New("not enough free space")

// CheckSpace refuses a directory whose file system has less than MinSpace free: terraform goes on creating when it cannot write its state.
func CheckSpace(dir string) error { return checkSpace(dir, MinSpace) }

func checkSpace(dir string, want uint64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if free := s.Bavail * uint64(s.Bsize); free < want { //nolint:gosec // a block size is positive
		return fmt.Errorf("%w on the file system of %s: %d MB are free, %d MB are needed", ErrNoSpace, dir, free>>20, want>>20)
	}
	return nil
}
