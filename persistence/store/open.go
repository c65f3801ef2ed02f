package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxReaders bounds the connections that read: each costs about 2 MB of cache when busy.
const maxReaders = 8

// lockFiles makes SQLite lock by open file description. With its default, closing any other descriptor of the file in this process
// (a backup, a scan of the data directory) would silently drop all its locks. The locks in the -shm file stay the process's: a
// process that has the store open must never open and close that one. Too late is no harm: then the default stays.
var lockFiles = sync.OnceFunc(func() { _, _ = sqlite.OFDLocking(true) })

// Open opens the store under dir and migrates it. It refuses a file of a newer version, an unreadable or a corrupt one with an error that says what to do.
func Open(ctx context.Context, dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	path := filepath.Join(dir, FileName)
	if err := create(dir, path); err != nil {
		return nil, explain(path, err)
	}
	lockFiles()
	s := &Store{path: path, closing: make(chan struct{})}
	if s.db, err = pool(path, 1, "_txlock=immediate"); err != nil {
		return nil, explain(path, err)
	}
	if s.reads, err = pool(path, maxReaders, "_query_only=1"); err != nil {
		_ = s.db.Close()
		return nil, explain(path, err)
	}
	s.feed.init(s)
	if err := s.migrate(ctx); err != nil {
		_ = s.Close()
		return nil, explain(path, err)
	}
	return s, nil
}

// create makes the directory and an empty file that only its owner may read. The file is made aside and linked, so that no
// descriptor of a file that SQLite may have open is ever closed here.
func create(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case err == nil:
		if info.Mode().Perm()&0o077 != 0 {
			return os.Chmod(path, 0o600)
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+FileName+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func pool(path string, limit int, option string) (*sql.DB, error) {
	dsn := (&url.URL{Scheme: "file", Path: path}).String() +
		"?_busy_timeout=0&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_dqs=0&" + option
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(limit)
	db.SetMaxIdleConns(limit)
	db.SetConnMaxIdleTime(time.Minute)
	return db, nil
}

// explain says what a person can do about a store that does not open.
func explain(path string, err error) error {
	switch code(err) {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("store %s: %w (put a backup of it and of its -wal file back, or name another data directory): %w", path, ErrCorrupt, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return fmt.Errorf("store %s: %w (check that this user owns the directory and the file, and that the disk is writable): %w", path, ErrUnreadable, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("store %s: the disk is full: %w", path, err)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store %s: %w (check that this user owns the directory and the file): %w", path, ErrUnreadable, err)
	}
	return fmt.Errorf("store %s: %w", path, err)
}
