package catalog

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"meridian/persistence/store"
)

// EnsureSecret makes a secret once (30 random bytes, base64url: 40 characters, and RDS for MySQL takes 41 at most) and leaves an existing one alone.
// Name is like "region/ankara/admin", "user/orders_app", "link/ankara-istanbul".
func (c *Catalog) EnsureSecret(ctx context.Context, incarnation, name string) error {
	if _, err := c.Secret(ctx, incarnation, name); err == nil || !errors.Is(err, ErrNotFound) {
		return err
	}
	var raw [30]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	sealed, err := c.keys.Seal([]byte(base64.RawURLEncoding.EncodeToString(raw[:])), rowContext("secrets", incarnation, name))
	if err != nil {
		return fmt.Errorf("secret %s: %w", name, err)
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO secrets (incarnation, name, created_at, sealed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", incarnation, name, now().UnixMicro(), sealed)
		if err != nil {
			return fmt.Errorf("secret %s: %w", name, err)
		}
		return nil
	})
}

// Secret opens a secret; ErrNotFound. The caller must not log, return to a user or put it in argv.
func (c *Catalog) Secret(ctx context.Context, incarnation, name string) (string, error) {
	var sealed []byte
	err := c.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT sealed FROM secrets WHERE incarnation = ? AND name = ?", incarnation, name).Scan(&sealed)
	})
	if err != nil {
		return "", fmt.Errorf("secret %s of %s: %w", name, incarnation, notFound(err))
	}
	plain, err := c.keys.Open(sealed, rowContext("secrets", incarnation, name))
	if err != nil {
		return "", err
	}
	return string(plain), nil
}

// PutSecret stores a secret that was made elsewhere, over the one that was there.
func (c *Catalog) PutSecret(ctx context.Context, incarnation, name, value string) error {
	if have, err := c.Secret(ctx, incarnation, name); err == nil && have == value {
		return nil
	}
	sealed, err := c.keys.Seal([]byte(value), rowContext("secrets", incarnation, name))
	if err != nil {
		return fmt.Errorf("secret %s: %w", name, err)
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO secrets (incarnation, name, created_at, sealed) VALUES (?, ?, ?, ?)
			ON CONFLICT (incarnation, name) DO UPDATE SET sealed = excluded.sealed`, incarnation, name, now().UnixMicro(), sealed)
		if err != nil {
			return fmt.Errorf("secret %s: %w", name, err)
		}
		return nil
	})
}
