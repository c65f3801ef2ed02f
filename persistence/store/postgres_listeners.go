package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Listeners says from where processes listen to this store's changes, as servers and workers do all the time. This process is among them only while
// it watches itself. A store in a file has none that could be told.
func (s *Store) Listeners(ctx context.Context) (out []string, err error) {
	d, server := s.dialect.(*postgresDialect)
	if !server {
		return nil, nil
	}
	err = s.Read(ctx, func(tx *Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, `SELECT coalesce(host(client_addr), 'its own machine') || ' (backend ' || pid || ')' FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND query = ? ORDER BY pid`, "LISTEN "+pgx.Identifier{d.channel}.Sanitize())
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var from string
			if err := rows.Scan(&from); err != nil {
				return err
			}
			out = append(out, from)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("who listens to the store: %w", err)
	}
	return out, nil
}
