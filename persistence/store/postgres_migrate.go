package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// migratePostgres brings the schema to the newest version, from the same files as SQLite's.
func (s *Store) migratePostgres(ctx context.Context) (err error) {
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	if done, err := s.upToDate(ctx, newest); done || err != nil {
		return err
	}
	// One process migrates at a time; the server frees the lock when its holder's connection ends.
	lock, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	const key = "hashtextextended('meridian migrates ' || current_schema(), 0)"
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock("+key+")"); err != nil {
		return fmt.Errorf("another process migrates the store: %w", err)
	}
	defer func() {
		_, unlock := lock.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock("+key+")")
		err = errors.Join(err, unlock)
	}()
	if done, err := s.upToDate(ctx, newest); done || err != nil {
		return err
	}
	steps, err := postgresMigrations()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, s.db, nil, goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()), goose.WithGoMigrations(steps...))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", explainPostgres(err))
	}
	return s.recordSchema(ctx, newest)
}

// postgresMigrations are our files, translated.
func postgresMigrations() ([]*goose.Migration, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var out []*goose.Migration
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("name of a migration: %w", err)
		}
		text, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			return nil, err
		}
		ddl, err := postgresDDL(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		out = append(out, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, ddl)
			return err
		}}, nil))
	}
	return out, nil
}
