package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks/terraform"
)

// inSQLite names the store in the data directory.
const inSQLite = "sqlite"

func newPersistenceMigrate(a *app) *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Copy catalog and journal between SQLite and PostgreSQL, while no server runs",
		Long: `Copy catalog and journal from one store to another, while no server, worker or runner works: sqlite is the file in the data
directory, PostgreSQL is named as for the server's --store. All rows go in one transaction and are read back: each table's count and
digest agree, or nothing is kept. The source is only read. It may be repeated; a target with rows of its own is refused.

Then start the server with the new store. Never start one on the old store again: it does not know what happened since.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if (from == inSQLite) == (to == inSQLite) || from == "" || to == "" {
				return usage("meridian persistence migrate wants --from and --to, one of them sqlite and the other in PostgreSQL")
			}
			dir, err := a.dataDir()
			if err != nil {
				return err
			}
			if err := makeDataDir(dir); err != nil {
				return err
			}
			unlock, err := lockDataDir(dir)
			if err != nil {
				return err
			}
			defer unlock()
			copied, err := migrate(c.Context(), dir, from, to)
			if err != nil {
				return err
			}
			return a.print(list(copied), func(t *table) {
				t.row("TABLE", "ROWS", "DIGEST")
				for _, c := range copied {
					t.row(c.Table, fmt.Sprint(c.Rows), c.Digest[:16])
				}
			})
		},
	}
	c.Flags().StringVar(&from, "from", "", "sqlite, or postgres://USER@HOST/DATABASE or file:PATH as for the server's --store")
	c.Flags().StringVar(&to, "to", "", "the same; the other one of the two")
	return c
}

// migrate copies all rows of one store into another.
func migrate(ctx context.Context, dir, from, to string) ([]store.Copied, error) {
	at := func(setting string) (string, error) {
		if setting == inSQLite {
			return dir, nil
		}
		return store.Where(setting, dir)
	}
	source, err := at(from)
	if err != nil {
		return nil, err
	}
	target, err := at(to)
	if err != nil {
		return nil, err
	}
	have, err := store.LookSchema(ctx, source)
	switch {
	case err != nil:
		return nil, err
	case have.Version == 0:
		return nil, &exitError{Code: exitNotFound, What: "there is no store in " + have.Where, Next: "name the store that the server has with --from, and its data directory with --data"}
	case have.Version != have.Want:
		return nil, &exitError{
			Code: exitRefused, What: fmt.Sprintf("the store in %s has version %d, this meridian %d", have.Where, have.Version, have.Want),
			Next: "copy it with the meridian that made it, or upgrade it first: meridian persistence upgrade",
		}
	}
	src, err := store.Open(ctx, source)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	if err := mayLeave(ctx, src, dir); err != nil {
		return nil, err
	}
	dst, err := store.Open(ctx, target)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dst.Close() }()
	copied, err := store.Copy(ctx, src, dst)
	if errors.Is(err, store.ErrNotEmpty) {
		return nil, &exitError{Code: exitRefused, What: err.Error(), Next: "name an empty database or schema, or another data directory"}
	}
	return copied, err
}

// mayLeave wants nobody to write into the store any more, and the keyring that opens it to be here.
func mayLeave(ctx context.Context, src *store.Store, dir string) error {
	keys, err := keyring.Open(keyring.Source{Dir: dir, Env: terraform.EnvKeyring}, false)
	if err != nil {
		return err
	}
	held, err := journal.New(src, keys).HeadsRunning(ctx)
	if err != nil {
		return err
	}
	if len(held) == 0 {
		return nil
	}
	var stacks []string
	for _, h := range held {
		stacks = append(stacks, h.Stack.String())
	}
	return &exitError{
		Code: exitRefused, What: "terraform works, or is not known to have ended, on " + strings.Join(stacks, ", "),
		Next: "start the server, wait until these runs have ended or wait for a person, stop it, and migrate again",
	}
}
