package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"meridian/persistence/store"
)

// ErrSiteDead means that an operator declared the site dead: until its machine has booted again it must start nothing.
var ErrSiteDead = errors.New("this site was declared dead")

// Site is one kernel with one work directory and one lock directory.
type Site struct {
	ID string
	// BootID is the boot of its kernel that was seen last, Host its name then.
	BootID string
	Host   string
	// Since is when this boot was first seen.
	Since time.Time
	// DeadAt and DeadBy tell who answers for it that nothing of this boot runs any more, and since when.
	DeadAt time.Time
	DeadBy string
}

// Dead reports whether an operator declared the site's boot dead.
func (s Site) Dead() bool { return !s.DeadAt.IsZero() }

// SeeSite records a site and its boot. One that was declared dead is refused (ErrSiteDead) until it comes back with a new boot.
func (j *Journal) SeeSite(ctx context.Context, id, bootID, host string) error {
	var known Site
	err := j.st.Read(ctx, func(tx *store.Tx) (err error) {
		known, err = readSite(tx, id)
		return err
	})
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	case err == nil && known.BootID == bootID && known.Dead():
		return deadError(known)
	case err == nil && known.BootID == bootID:
		return nil
	}
	return j.st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO sites (id, boot_id, host, since) VALUES (?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET boot_id = excluded.boot_id, host = excluded.host, since = excluded.since, dead_at = NULL, dead_by = ''
			WHERE sites.boot_id <> excluded.boot_id`, id, bootID, host, micros(time.Now()))
		if err != nil {
			return fmt.Errorf("site %s: %w", id, err)
		}
		return nil
	})
}

func deadError(s Site) error {
	return fmt.Errorf("site %s (%s), at %s by %s: %w; see that nothing of Meridian runs there, and boot its machine again", s.ID, s.Host,
		s.DeadAt.Format(time.RFC3339), s.DeadBy, ErrSiteDead)
}

// Sites lists the known sites, by ID.
func (j *Journal) Sites(ctx context.Context) (out []Site, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query("SELECT " + siteColumns + " FROM sites ORDER BY id")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			s, err := scanSite(rows)
			if err != nil {
				return err
			}
			out = append(out, s)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list sites: %w", err)
	}
	return out, nil
}

// DeclareDead records, within tx, that actor answers for it that nothing of the site's boot runs any more: others may take its stacks
// over at once. Its own runners are let do nothing but ship what they have, until its machine has booted again. ErrNotFound.
func (j *Journal) DeclareDead(ctx context.Context, tx *store.Tx, id, actor string) (Site, error) {
	s, err := readSite(tx, id)
	if err != nil || s.Dead() {
		return s, err
	}
	s.DeadAt, s.DeadBy = time.Now().UTC(), actor
	if _, err := tx.ExecContext(ctx, "UPDATE sites SET dead_at = ?, dead_by = ? WHERE id = ?", micros(s.DeadAt), actor, id); err != nil {
		return s, fmt.Errorf("declare site %s dead: %w", id, err)
	}
	return s, nil
}

const siteColumns = "id, boot_id, host, since, coalesce(dead_at, 0), dead_by"

func readSite(tx *store.Tx, id string) (Site, error) {
	s, err := scanSite(tx.QueryRow("SELECT "+siteColumns+" FROM sites WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Site{}, fmt.Errorf("site %s: %w", id, err)
	}
	return s, nil
}

func scanSite(row interface{ Scan(...any) error }) (Site, error) {
	var s Site
	var since, dead int64
	if err := row.Scan(&s.ID, &s.BootID, &s.Host, &since, &dead, &s.DeadBy); err != nil {
		return Site{}, err
	}
	s.Since, s.DeadAt = fromMicros(since), fromMicros(dead)
	return s, nil
}
