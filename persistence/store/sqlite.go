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

// openSQLite opens the file under dir and migrates it.
func openSQLite(ctx context.Context, dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	path := filepath.Join(dir, FileName)
	if err := create(dir, path); err != nil {
		return nil, explain(path, err)
	}
	s, err := openFile(path)
	if err != nil {
		return nil, err
	}
	if err := s.migrateFile(ctx); err != nil {
		_ = s.Close()
		return nil, explain(path, err)
	}
	return s, nil
}

// openFile opens a file that is there, as it is.
func openFile(path string) (_ *Store, err error) {
	lockFiles()
	s := &Store{dialect: sqliteDialect{}, path: path, closing: make(chan struct{})}
	if s.db, err = pool(path, 1, "_txlock=immediate"); err != nil {
		return nil, explain(path, err)
	}
	if s.reads, err = pool(path, maxReaders, "_query_only=1"); err != nil {
		_ = s.db.Close()
		return nil, explain(path, err)
	}
	s.feed.init(s)
	return s, nil
}

// sqliteDialect is what SQLite does differently.
type sqliteDialect struct{}

func (sqliteDialect) read() *sql.TxOptions  { return &sql.TxOptions{ReadOnly: true} }
func (sqliteDialect) write() *sql.TxOptions { return nil }

// within lets a query of a local file end by itself: to watch a context costs more than most queries.
func (sqliteDialect) within(context.Context) context.Context { return context.Background() }

func (sqliteDialect) rebind(query string) string { return query }

func (sqliteDialect) arg(v any) (any, error) { return v, nil }

// trouble never gives up on a busy file before the context ends: who is in the way works for milliseconds.
func (sqliteDialect) trouble(err error) trouble {
	if isBusy(err) {
		return troubleBusy
	}
	return troubleFinal
}

// commit has two outcomes: the file is this machine's.
func (sqliteDialect) commit(_ context.Context, _ *Store, tx *Tx) error { return tx.tx.Commit() }

func (sqliteDialect) sealedTables() string {
	return "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = ? ORDER BY m.name"
}

func (sqliteDialect) hasVersions() string {
	return "SELECT count(*) FROM sqlite_schema WHERE name = 'goose_db_version'"
}

func (sqliteDialect) newCursor() cursor { return &sqliteCursor{} }

func (sqliteDialect) listen(f *feed) { f.poll() }

// sqliteCursor is a place in the feed. Writers of SQLite take turns, so a lower sequence is never committed after a higher one.
type sqliteCursor struct{ after int64 }

func (c *sqliteCursor) start(tx *Tx) error {
	return tx.QueryRow("SELECT coalesce(max(seq), 0) FROM changes").Scan(&c.after)
}

func (c *sqliteCursor) next(tx *Tx) (out []Change, err error) {
	rows, err := tx.Query("SELECT seq, topic, key FROM changes WHERE seq > ? ORDER BY seq", c.after)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var change Change
		if err := rows.Scan(&change.Seq, &change.Topic, &change.Key); err != nil {
			return nil, err
		}
		out = append(out, change)
	}
	return out, rows.Err()
}

func (c *sqliteCursor) took(changes []Change) {
	if n := len(changes); n > 0 {
		c.after = changes[n-1].Seq
	}
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

// code is SQLite's primary result code in err, or 0.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// isBusy reports whether another connection was in the way; SQLITE_PROTOCOL is a lost race for the lock of the write-ahead log.
func isBusy(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// isSQLiteConflict reports whether err is a broken unique or primary key.
func isSQLiteConflict(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}
