package temporal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/temporal"
)

const (
	lockFileName = "temporal.lock"
	// checkLimit is the size up to which the whole file is checked at start (about 3 ms a MB); the structure of a larger one is.
	checkLimit = 64 << 20
)

// storeFile is the server's database: a file that this process has locked, or memory.
type storeFile struct {
	path   string // "" in memory
	lock   *os.File
	unique string
	log    *slog.Logger
}

// openStore locks dir and leaves a database of our schema version there. Without dir the database is in memory.
func openStore(ctx context.Context, dir string, log *slog.Logger) (_ *storeFile, err error) {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // crypto/rand.Read never fails
	f := &storeFile{unique: hex.EncodeToString(id), log: log}
	if dir == "" {
		return f, nil
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	f.path = filepath.Join(dir, FileName)
	if err := f.acquire(filepath.Join(dir, lockFileName)); err != nil {
		return nil, err
	}
	if err := f.prepare(ctx); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// acquire takes the lock: SQLite itself lets two servers open one file, and both would lose work.
func (f *storeFile) acquire(path string) error {
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("the data directory must be writable: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", path, err)
		}
		holder := "another process"
		if raw, err := os.ReadFile(path); err == nil && len(raw) > 0 {
			holder = "process " + strings.TrimSpace(string(raw))
		}
		return fmt.Errorf("%s is in use by %s: stop it, or choose another data directory", filepath.Dir(path), holder)
	}
	f.lock = lock
	if err := errors.Join(lock.Truncate(0), writeAt(lock, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		f.close()
		return fmt.Errorf("the data directory must be writable: %w", err)
	}
	return nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// prepare keeps a good file, moves another one aside and makes one where there is none.
func (f *storeFile) prepare(ctx context.Context) error {
	_, err := os.Stat(f.path)
	if err == nil {
		reason, err := f.check(ctx)
		if err != nil {
			return err
		}
		if reason == "" {
			return nil
		}
		aside, err := f.moveAside()
		if err != nil {
			return err
		}
		f.log.Warn("temporal's file was moved aside and is made anew, runs go on from the catalog", "reason", reason, "file", aside)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at temporal's file: %w", err)
	}
	return f.create(ctx)
}

// check says why the file is of no use, "" if it is good. An error means that nothing can be said and nothing may be touched.
func (f *storeFile) check(ctx context.Context) (reason string, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return "", fmt.Errorf("look at temporal's file: %w", err)
	}
	probe, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("temporal's file must be readable and writable: %w", err)
	}
	head := make([]byte, 16)
	_, readErr := probe.ReadAt(head, 0)
	if err := probe.Close(); err != nil {
		return "", fmt.Errorf("close temporal's file: %w", err)
	}
	if readErr != nil || string(head) != "SQLite format 3\x00" {
		return "it is no database", nil
	}
	db, err := openSQLite(f.path, "rw")
	if err != nil {
		return "", err
	}
	defer db.Close()
	var version int32
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return unreadable(ctx, err)
	}
	if version != schemaVersion() {
		return "it is of another version", nil
	}
	if info.Size() > checkLimit {
		var tables int
		err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables)
		return unreadable(ctx, err)
	}
	var result string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return unreadable(ctx, err)
	}
	if result != "ok" {
		return "it is corrupt: " + result, nil
	}
	return "", nil
}

// unreadable tells a corrupt file from a check that was cut short.
func unreadable(ctx context.Context, err error) (string, error) {
	if err == nil || ctx.Err() != nil {
		return "", ctx.Err()
	}
	return "it cannot be read: " + err.Error(), nil
}

// moveAside renames the file and its log to temporal.db.N.old and removes older ones.
func (f *storeFile) moveAside() (string, error) {
	old, err := filepath.Glob(globQuote(f.path) + ".*.old*")
	if err != nil {
		return "", fmt.Errorf("look for older files of temporal: %w", err)
	}
	next := 1
	for _, name := range old {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, f.path+"."), ".")
		if n, err := strconv.Atoi(number); err == nil && n >= next {
			next = n + 1
		}
	}
	aside := fmt.Sprintf("%s.%d.old", f.path, next)
	if err := os.Rename(f.path, aside); err != nil {
		return "", fmt.Errorf("move temporal's file aside: %w", err)
	}
	if err := os.Rename(f.path+"-wal", aside+"-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("move temporal's log aside: %w", err)
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return "", fmt.Errorf("remove an older file of temporal: %w", err)
		}
	}
	return aside, nil
}

// globQuote escapes what filepath.Glob would take for a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// sql is the server's configuration of the store. The server's pool keeps a connection per set of attributes until the process
// ends: the attribute "meridian", a pragma that SQLite does not know and ignores, gives each start its own, so that a file that
// was replaced meanwhile is not written through a connection to the old one.
func (f *storeFile) sql() *config.SQL {
	c := &config.SQL{PluginName: sqliteplugin.PluginName}
	if f.path == "" {
		c.DatabaseName = "meridian-" + f.unique
		c.ConnectAttributes = map[string]string{"mode": "memory", "cache": "shared"}
		return c
	}
	c.DatabaseName = uriPath(f.path)
	// NORMAL syncs at checkpoints alone: a lost power may take the last transactions along, and never the file's consistency. Nothing
	// is wrong with an older file, since the catalog is the truth; a sync at each of the sixty transactions of a run, which all go
	// through the one connection, would be most of what a run waits for on a slow disk.
	c.ConnectAttributes = map[string]string{
		"mode": "rw", "journal_mode": "WAL", "synchronous": "NORMAL", "busy_timeout": "5000", "meridian": "x" + f.unique,
	}
	return c
}

// dataStore is the server's configuration of the store.
func (f *storeFile) dataStore() config.DataStore { return config.DataStore{SQL: f.sql()} }

// options are none.
func (f *storeFile) options() []temporal.ServerOption { return nil }

// close brings the log into the file and gives the lock back.
func (f *storeFile) close() {
	if f.lock == nil {
		return
	}
	if db, err := openSQLite(f.path, "rw"); err == nil {
		if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			f.log.Debug("temporal's log stays beside its file", "error", err)
		}
		_ = db.Close() // nothing was written through it
	}
	_ = f.lock.Close() // gives the lock back
	f.lock = nil
}
