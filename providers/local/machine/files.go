package machine

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ReplaceFile writes a file of the server, 0600, by rename. It reports an error and leaves the old file where it cannot.
func (a Account) ReplaceFile(path string, content []byte, sync bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after the rename
	_, err = f.Write(content)
	if err == nil {
		err = a.Own(f)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if !sync {
		return nil
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// OpenLog opens a server's log for appending and says where the new part starts. A log that has grown large starts afresh.
func (a Account) OpenLog(path string) (*os.File, int64, error) {
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, 0, err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil {
		err = a.Own(f)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// maxLog is the size from which a log starts afresh.
const maxLog = 16 << 20

// Tail returns the last words of the log since from, for an error.
func Tail(log io.ReaderAt, from int64) string {
	text := make([]byte, 4096)
	n, err := log.ReadAt(text, from)
	if n == 0 && err != nil {
		return "it said nothing"
	}
	return LastLines(strings.ToValidUTF8(string(text[:n]), "?"), 5)
}

// LastLines returns the last n lines of a text as one.
func LastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
