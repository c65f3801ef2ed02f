package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"meridian/persistence/store"
)

// payloadsKey is the row of meta that says since when payloads of Temporal may have been sealed.
const payloadsKey = "payloads"

// NotePayloads records that from now on payloads of Temporal are sealed with the ring; once is enough. Histories keep them for as long as
// Temporal keeps those, also when nothing is sealed any more.
func (c *Catalog) NotePayloads(ctx context.Context) error {
	if since, err := c.PayloadsSince(ctx); err != nil || !since.IsZero() {
		return err
	}
	err := c.st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", payloadsKey, strconv.FormatInt(now().UnixMicro(), 10))
		return err
	})
	if err != nil {
		return fmt.Errorf("note that payloads are sealed: %w", err)
	}
	return nil
}

// PayloadsSince is when payloads of Temporal were first sealed; zero where they never were.
func (c *Catalog) PayloadsSince(ctx context.Context) (since time.Time, err error) {
	var text string
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT value FROM meta WHERE key = ?", payloadsKey).Scan(&text)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("whether payloads were ever sealed: %w", err)
	}
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("whether payloads were ever sealed: %w", err)
	}
	return fromMicros(at), nil
}
