package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Schema says how the tables of a store are. Looking changes nothing.
type Schema struct {
	// Where the store is, without any secret.
	Where string
	// Version is that of the tables, 0 where there are none; Want is the one that this build makes.
	Version, Want int64
	// Foreign says that there are tables of our names that no migration of ours made.
	Foreign bool
	// Changed says that the tables were made from other migrations than this build's, though they have their version.
	Changed bool
}

// LookSchema looks at the tables of a store, as Open takes it, and neither makes nor migrates it.
func LookSchema(ctx context.Context, where string) (Schema, error) {
	want, err := newestMigration()
	if err != nil {
		return Schema{}, err
	}
	var s *Store
	if isURL(where) {
		if s, err = connectPostgres(where); err == nil {
			err = s.dialect.(*postgresDialect).check(ctx, s)
		}
	} else {
		path := filepath.Join(where, FileName)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return Schema{Where: path, Want: want}, nil
		}
		s, err = openFile(path)
	}
	if s != nil {
		defer func() { _ = s.Close() }()
	}
	if err != nil {
		return Schema{}, err
	}
	out := Schema{Where: s.path, Want: want}
	if out.Version, err = s.version(ctx); err != nil {
		return out, err
	}
	if out.Version == 0 {
		out.Foreign, err = s.hasOurNames(ctx)
		return out, err
	}
	var recorded string
	switch err := s.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = '"+schemaKey+"'").Scan(&recorded); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		out.Foreign = true // there is no such table, or it is another's
		return out, nil
	}
	version, sum, _ := strings.Cut(recorded, " ")
	if n, err := strconv.ParseInt(version, 10, 64); err == nil && n == out.Version {
		ours, err := migrationsSum(n)
		if err != nil {
			return out, err
		}
		out.Changed = ours != sum
	}
	return out, nil
}

var createTable = regexp.MustCompile(`(?m)^CREATE TABLE ([a-z_]+)`)

// hasOurNames reports whether there is a table of one of our names.
func (s *Store) hasOurNames(ctx context.Context) (bool, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		text, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			return false, err
		}
		for _, m := range createTable.FindAllSubmatch(text, -1) {
			if _, err := s.db.ExecContext(ctx, "SELECT 1 FROM "+string(m[1])+" LIMIT 0"); err == nil {
				return true, nil
			}
		}
	}
	return false, s.db.PingContext(ctx) // a server that went away has no tables either
}

// schemaKey is where meta records what the tables were made from.
const schemaKey = "schema"

// recordSchema records what the tables were made from.
func (s *Store) recordSchema(ctx context.Context, version int64) error {
	sum, err := migrationsSum(version)
	if err != nil {
		return err
	}
	return s.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", schemaKey, fmt.Sprintf("%d %s", version, sum))
		return err
	})
}

// migrationsSum is the SHA-256 of the migrations up to a version.
func migrationsSum(version int64) (string, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > version {
			continue
		}
		text, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%d\x00%d\x00%s", n, len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
