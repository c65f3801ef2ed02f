package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Database is one incarnation of a database. Its Phase is for people: "creating", "ready", "changing", "degraded", "failed", "destroying", "destroyed".
type Database struct {
	Namespace   string
	Name        string
	Incarnation string
	Revision    int64 // newest submitted revision
	Applied     int64 // newest revision that a run finished
	ActiveRun   string
	LastRun     int64 // number of the newest run
	Phase       string
	Message     string
	// Unmanaged lists what is there and not in the spec ("database old", "user bob"): it is kept.
	Unmanaged   []string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DestroyedAt *time.Time
}

// The phases of a database, as people read them.
const (
	DatabaseCreating   = "creating"
	DatabaseReady      = "ready"
	DatabaseChanging   = "changing"
	DatabaseDegraded   = "degraded"
	DatabaseFailed     = "failed"
	DatabaseDestroying = "destroying"
	DatabaseDestroyed  = "destroyed"
)

// Revision is one submitted spec: as written and effective.
type Revision struct {
	Incarnation string
	Number      int64
	Source      []byte
	// Effective has no AllowReplace any more once a run has used it.
	Effective stacks.Database
	// Draft marks a revision that only a check planned; it is never the database's.
	Draft     bool
	CreatedAt time.Time
	Actor     string
}

const databaseColumns = `namespace, name, incarnation, revision, applied, active_run, last_run, phase, message, unmanaged, created_at, updated_at, destroyed_at`

func scanDatabase(row scanner) (Database, error) {
	var d Database
	var unmanaged string
	var created, updated int64
	var destroyed sql.NullInt64
	err := row.Scan(&d.Namespace, &d.Name, &d.Incarnation, &d.Revision, &d.Applied, &d.ActiveRun, &d.LastRun, &d.Phase, &d.Message, &unmanaged, &created, &updated, &destroyed)
	if err != nil {
		return Database{}, notFound(err)
	}
	if err := json.Unmarshal([]byte(unmanaged), &d.Unmanaged); err != nil {
		return Database{}, fmt.Errorf("unmanaged objects: %w", err)
	}
	d.CreatedAt, d.UpdatedAt, d.DestroyedAt = fromMicros(created), fromMicros(updated), optionalTime(destroyed)
	return d, nil
}

// livingDatabase reads the living database of that name within tx; ErrNotFound.
func livingDatabase(tx *store.Tx, namespace, name string) (Database, error) {
	d, err := scanDatabase(tx.QueryRow("SELECT "+databaseColumns+" FROM databases WHERE namespace = ? AND name = ? AND destroyed_at IS NULL", namespace, name))
	if err != nil {
		return Database{}, fmt.Errorf("database %s/%s: %w", namespace, name, err)
	}
	return d, nil
}

// incarnationOf reads one incarnation within tx, living or not; ErrNotFound.
func incarnationOf(tx *store.Tx, incarnation string) (Database, error) {
	d, err := scanDatabase(tx.QueryRow("SELECT "+databaseColumns+" FROM databases WHERE incarnation = ?", incarnation))
	if err != nil {
		return Database{}, fmt.Errorf("incarnation %s: %w", incarnation, err)
	}
	return d, nil
}

// Database reads the living database of that name; ErrNotFound.
func (c *Catalog) Database(ctx context.Context, namespace, name string) (d Database, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		d, err = livingDatabase(tx, namespace, name)
		return err
	})
	return d, err
}

// Incarnation reads one incarnation of a database, living or destroyed; ErrNotFound.
func (c *Catalog) Incarnation(ctx context.Context, incarnation string) (d Database, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		d, err = incarnationOf(tx, incarnation)
		return err
	})
	return d, err
}

// Databases lists living databases of a namespace ("" for all), by name.
func (c *Catalog) Databases(ctx context.Context, namespace string) ([]Database, error) {
	return c.FindDatabases(ctx, DatabaseFilter{Namespace: namespace})
}

// SetDatabaseStatus writes what people read of an incarnation; ErrNotFound. The message is not sealed: it holds Meridian's own words,
// none of terraform, a cloud or a database.
func (c *Catalog) SetDatabaseStatus(ctx context.Context, incarnation, phase, message string) error {
	return c.changeDatabase(ctx, incarnation, "phase = ?, message = ?", phase, message)
}

// SetUnmanaged writes what an incarnation has beside its spec; ErrNotFound.
func (c *Catalog) SetUnmanaged(ctx context.Context, incarnation string, items []string) error {
	if items == nil {
		items = []string{}
	}
	text, err := json.Marshal(items)
	if err != nil {
		return fmt.Errorf("unmanaged objects: %w", err)
	}
	return c.changeDatabase(ctx, incarnation, "unmanaged = ?", string(text))
}

func (c *Catalog) changeDatabase(ctx context.Context, incarnation, set string, args ...any) error {
	return c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := incarnationOf(tx, incarnation)
		if err != nil {
			return err
		}
		return setDatabase(tx, d, set, args...)
	})
}

// setDatabase changes columns of a database's row and tells the feed.
func setDatabase(tx *store.Tx, d Database, set string, args ...any) error {
	args = append(append([]any{}, args...), now().UnixMicro(), d.Incarnation)
	if _, err := tx.Exec("UPDATE databases SET "+set+", updated_at = ? WHERE incarnation = ?", args...); err != nil {
		return fmt.Errorf("database %s/%s: %w", d.Namespace, d.Name, err)
	}
	return tx.Notify("database", d.Namespace+"/"+d.Name)
}

// Revision reads one revision; number 0 is the newest that is no draft.
func (c *Catalog) Revision(ctx context.Context, incarnation string, number int64) (r Revision, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		r, err = readRevision(tx, incarnation, number)
		return err
	})
	return r, err
}

func readRevision(tx *store.Tx, incarnation string, number int64) (Revision, error) {
	r := Revision{Incarnation: incarnation}
	var effective string
	var used bool
	var created int64
	err := tx.QueryRow(`SELECT number, source, effective, draft, replace_used, created_at, actor FROM revisions
		WHERE incarnation = ? AND (number = ? OR (? = 0 AND draft = 0)) ORDER BY number DESC LIMIT 1`, incarnation, number, number).
		Scan(&r.Number, &r.Source, &effective, &r.Draft, &used, &created, &r.Actor)
	if err != nil {
		return Revision{}, fmt.Errorf("revision %d of %s: %w", number, incarnation, notFound(err))
	}
	if err := json.Unmarshal([]byte(effective), &r.Effective); err != nil {
		return Revision{}, fmt.Errorf("revision %d of %s: %w", number, incarnation, err)
	}
	if used {
		r.Effective.Spec.AllowReplace = nil
	}
	r.CreatedAt = fromMicros(created)
	return r, nil
}
