package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrNotFile means that the store is no file of ours: its server's own tools copy it.
var ErrNotFile = errors.New("the store is in PostgreSQL: copy it with pg_dump, and put it back with pg_restore")

// Backup writes a consistent copy of the store to a new file, 0600, while others read and write; the copy has the store's name under dir.
func (s *Store) Backup(ctx context.Context, dir string) (path string, err error) {
	if _, file := s.dialect.(sqliteDialect); !file {
		return "", ErrNotFile
	}
	path = filepath.Join(dir, FileName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // SQLite takes an empty file, and its mode
	if err != nil {
		return "", fmt.Errorf("back up the store: %w", err)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("back up the store: %w", err)
	}
	var copier *sql.DB // a connection of its own: this takes a while, and writers queue for theirs
	if copier, err = pool(s.path, 1, "_txlock=deferred"); err == nil {
		err = s.retry(ctx, func() error {
			_, err := copier.ExecContext(ctx, "VACUUM INTO ?", path)
			return err
		})
		err = errors.Join(err, copier.Close())
	}
	if err == nil {
		err = syncFile(path)
	}
	if err != nil {
		_ = os.Remove(path)
		return "", fmt.Errorf("back up the store: %w", err)
	}
	return path, nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
