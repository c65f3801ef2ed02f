package temporal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/server/schema"
)

// create makes the file under a temporary name, so that a crash leaves no half-made one. A log left by a lost file goes first:
// SQLite would play it into the new one.
func (f *storeFile) create(ctx context.Context) error {
	tmp := f.path + ".new"
	for _, leftover := range []string{tmp, tmp + "-journal", f.path + "-wal", f.path + "-shm"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a leftover of temporal's file: %w", err)
		}
	}
	file, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make temporal's file: %w", err)
	}
	defer file.Close()
	if err := setUpSchema(ctx, tmp); err != nil {
		return fmt.Errorf("make temporal's file: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("make temporal's file: %w", err)
	}
	if err := os.Rename(tmp, f.path); err != nil {
		return fmt.Errorf("make temporal's file: %w", err)
	}
	return syncDir(filepath.Dir(f.path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	return nil
}

// schemaFiles hold the server's schema for SQLite, in order.
var schemaFiles = []string{"sqlite/v3/temporal/schema.sql", "sqlite/v3/visibility/schema.sql"}

// schemaText is the server's schema for SQLite.
func schemaText() string {
	var text strings.Builder
	for _, name := range schemaFiles {
		// The files are embedded: they are there, or the build's tests fail.
		raw, _ := fs.ReadFile(schema.Assets(), name)
		text.Write(raw)
		text.WriteString("\n")
	}
	return text.String()
}

// schemaVersion changes with the server's schema; it is in the file's header (user_version). SQLite files have no upgrade path.
func schemaVersion() int32 {
	sum := sha256.Sum256([]byte(schemaText()))
	return int32(binary.BigEndian.Uint32(sum[:4])&0x7fffffff | 1)
}

// setUpSchema fills an empty file. The caller syncs it: only a whole file is ever renamed to its real name.
func setUpSchema(ctx context.Context, path string) error {
	db, err := openSQLite(path, "rw")
	if err != nil {
		return err
	}
	defer db.Close()
	script := fmt.Sprintf("PRAGMA synchronous=OFF; BEGIN; %s; PRAGMA user_version=%d; COMMIT;", schemaText(), schemaVersion())
	_, err = db.ExecContext(ctx, script)
	return err
}

func openSQLite(path, mode string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+uriPath(path)+"?mode="+mode)
	if err != nil {
		return nil, fmt.Errorf("open temporal's file: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// uriPath escapes a path for SQLite's file: URIs.
func uriPath(path string) string { return (&url.URL{Path: path}).EscapedPath() }
