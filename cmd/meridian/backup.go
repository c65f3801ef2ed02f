package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/temporal"
	"meridian/stacks/terraform"
)

func newBackup(a *app) *cobra.Command {
	var withKeys bool
	var setting string
	c := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy the store into a new directory, also while the server runs",
		Long: `Copy the store of the data directory into a new directory, consistent also while server and runners write. Everything that a stack could
have written is sealed in it by the keyring, which is not in the copy: keep one elsewhere, or say --with-keys and guard the backup like it.

A store in PostgreSQL is copied with pg_dump instead.`,
		Args: arguments(1, 1, "a directory"),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := a.dataDir()
			if err != nil {
				return err
			}
			st, keys, err := openRows(c.Context(), dir, setting)
			if err != nil {
				return err
			}
			defer func() { _ = st.Close() }()
			o := orchestrator.BackupOptions{Catalog: catalog.New(st, keys), Journal: journal.New(st, keys), Dir: args[0], Version: version()}
			if withKeys {
				o.Keyring = filepath.Join(dir, keyring.FileName)
			}
			m, err := orchestrator.Backup(c.Context(), o)
			if errors.Is(err, store.ErrNotFile) {
				return &exitError{Code: exitFailed, What: err.Error(), Next: "after pg_restore, and before the server starts: " + a.call("restore --in-place")}
			}
			if err != nil {
				return err
			}
			if !withKeys {
				a.progress("the keyring is not in it: without %s nobody can open this backup", filepath.Join(dir, keyring.FileName))
			}
			return a.print(m, func(t *table) { t.line("%s  %d bytes  sha256 %s", args[0], m.Size, m.SHA256) })
		},
	}
	c.Flags().BoolVar(&withKeys, "with-keys", false, "copy the keyring too: whoever has the backup can then read everything in it")
	c.Flags().StringVar(&setting, "store", "", "the server's store, where it is not in the data directory: as for the server (MERIDIAN_STORE)")
	return c
}

// openRows opens the store that a data directory has, and the keyring. It makes neither.
func openRows(ctx context.Context, dir, setting string) (*store.Store, *keyring.Keyring, error) {
	where, err := store.Where(setting, dir)
	if err != nil {
		return nil, nil, err
	}
	if where == dir {
		if _, err := os.Stat(filepath.Join(dir, store.FileName)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, &exitError{Code: exitNotFound, What: "there is no store in " + dir, Next: "name the data directory with --data DIR"}
		}
	}
	keys, err := keyring.Open(keyring.Source{Dir: dir, Env: terraform.EnvKeyring}, false)
	if err != nil {
		return nil, nil, err
	}
	st, err := store.Open(ctx, where)
	return st, keys, err
}

func newRestore(a *app) *cobra.Command {
	var yes, inPlace bool
	var setting string
	c := &cobra.Command{
		Use:   "restore DIR",
		Short: "Put a backup in place of the store, while no server runs",
		Long: `Put a backup in place of the data directory's store. No server, worker, runner or terraform may work on it. Runs that were open in the
backup end as failed, no attempt from before can write any more, and nothing is applied until "meridian fsck" agrees, for the world may
have moved on since. What was there is kept beside it.

--in-place does the same with a store that was put back by other tools, like pg_restore: stop every server and worker, and let runners end,
before those tools are used.`,
		Args: arguments(0, 1, "the directory of a backup, or --in-place"),
		RunE: func(c *cobra.Command, args []string) error {
			if inPlace != (len(args) == 0) {
				return usage("meridian restore wants the directory of a backup, or --in-place")
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
			if err := a.sure(c.Context(), yes, fmt.Sprintf("Put the backup in place of the store of %s?", dir)); err != nil {
				return err
			}
			if inPlace {
				return a.restoreInPlace(c.Context(), dir, setting)
			}
			if setting != "" || os.Getenv(store.Env) != "" {
				return usage("a store in PostgreSQL is put back with pg_restore, then marked with --in-place")
			}
			v, err := orchestrator.Restore(c.Context(), orchestrator.RestoreOptions{
				From: args[0], Data: dir, TemporalFile: temporal.FileName, KeyringEnv: terraform.EnvKeyring, At: time.Now(),
			})
			if err != nil {
				return err
			}
			a.progress("start the server, then look what differs from the world: %s", a.call("fsck"))
			return a.print(v, func(t *table) {
				t.line("restored the backup of %s; the epoch is %d; what was there is in %s", v.Manifest.At.Format(time.RFC3339), v.Epoch, v.Aside)
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&inPlace, "in-place", false, "the store is put back already: only mark it as restored")
	c.Flags().StringVar(&setting, "store", "", "with --in-place, the server's store: as for the server (MERIDIAN_STORE)")
	return c
}

func (a *app) restoreInPlace(ctx context.Context, dir, setting string) error {
	st, keys, err := openRows(ctx, dir, setting)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	v, err := orchestrator.RestoreInPlace(ctx, catalog.New(st, keys), journal.New(st, keys), orchestrator.RestoreOptions{Data: dir, TemporalFile: temporal.FileName, At: time.Now()})
	if err != nil {
		return err
	}
	a.progress("the epoch is %d; what runners had left is in %s\n  next: start the server, then look what differs from the world: %s", v.Epoch, v.Aside, a.call("fsck"))
	return nil
}
