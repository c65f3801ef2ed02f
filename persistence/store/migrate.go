package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrateFile brings the file to the newest version. Where there is nothing to do it costs two look-ups: the runner opens the store
// for every step.
func (s *Store) migrateFile(ctx context.Context) error {
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	if done, err := s.upToDate(ctx, newest); done || err != nil {
		return err
	}
	unlock, err := lockMigration(ctx, s.path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if done, err := s.upToDate(ctx, newest); done || err != nil {
		return err
	}
	// The journal mode stays in the file; changing it needs the file alone, hence the lock and the retry.
	if err := s.retry(ctx, func() error {
		_, err := s.db.ExecContext(ctx, "PRAGMA journal_mode=WAL")
		return err
	}); err != nil {
		return fmt.Errorf("journal mode: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if err := s.retry(ctx, func() error {
		_, err := p.Up(ctx)
		return err
	}); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return s.recordSchema(ctx, newest)
}

// upToDate reports whether the store is of this version; ErrNewer where it is of a newer one.
func (s *Store) upToDate(ctx context.Context, newest int64) (bool, error) {
	version, err := s.version(ctx)
	if err != nil {
		return false, err
	}
	if version > newest {
		return false, fmt.Errorf("%w: the store has version %d, this meridian knows %d (run the newer meridian, or put the backup from before its first start back)", ErrNewer, version, newest)
	}
	return version == newest, nil
}

// version is that of the tables, 0 where there are none.
func (s *Store) version(ctx context.Context) (version int64, err error) {
	err = s.retry(ctx, func() error {
		var tables int
		if err := s.db.QueryRowContext(ctx, s.hasVersions()).Scan(&tables); err != nil {
			return fmt.Errorf("read the version: %w", err)
		}
		if tables == 0 {
			version = 0
			return nil
		}
		if err := s.db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version").Scan(&version); err != nil {
			return fmt.Errorf("read the version: %w", err)
		}
		return nil
	})
	return version, err
}

// newestMigration is the version of the last embedded file.
func newestMigration() (int64, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil || len(entries) == 0 {
		return 0, fmt.Errorf("no migrations: %w", errors.Join(err, fs.ErrNotExist))
	}
	number, _, _ := strings.Cut(entries[len(entries)-1].Name(), "_")
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("name of a migration: %w", err)
	}
	return v, nil
}

// lockMigration lets one process migrate at a time. The lock is a file of its own: the kernel frees it when its holder dies.
func lockMigration(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("another process migrates the store: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
