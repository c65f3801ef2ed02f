package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"

	"meridian/persistence/store"
	"meridian/stacks"
)

// EnsurePlacement returns a region's placement, or stores the one that make returns; make gets every address that is taken. Addresses are unique.
// make runs outside of any transaction, and again where another region took the address meanwhile.
func (c *Catalog) EnsurePlacement(ctx context.Context, id stacks.StackID, make func(taken []string) (stacks.Placement, error)) (stacks.Placement, error) {
	for {
		p, err := c.Placement(ctx, id)
		if err == nil || !errors.Is(err, ErrNotFound) {
			return p, err
		}
		taken, err := c.Addresses(ctx)
		if err != nil {
			return stacks.Placement{}, err
		}
		if p, err = make(taken); err != nil {
			return stacks.Placement{}, fmt.Errorf("place %s: %w", id, err)
		}
		text, err := json.Marshal(p)
		if err != nil {
			return stacks.Placement{}, fmt.Errorf("place %s: %w", id, err)
		}
		err = c.st.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO placements (stack, incarnation, address, placement) VALUES (?, ?, ?, ?)", id.String(), id.Incarnation, hostPort(p), string(text))
			return err
		})
		if err == nil {
			return p, nil
		}
		if !store.IsConflict(err) {
			return stacks.Placement{}, fmt.Errorf("place %s: %w", id, err)
		}
		// This region was placed, or its address taken, by another: look again. A maker that insists on a taken address ends here.
		for _, a := range taken {
			if a == hostPort(p) {
				return stacks.Placement{}, fmt.Errorf("place %s: %s is taken", id, a)
			}
		}
	}
}

// hostPort is what must be unique of a placement; nil where the provider gives no address.
func hostPort(p stacks.Placement) any {
	if p.Address == "" {
		return nil
	}
	return net.JoinHostPort(p.Address, strconv.Itoa(p.Port))
}

// Placed lists the stacks of an incarnation that have a placement, by region: each needs RemoveRegion before RemoveDatabase.
func (c *Catalog) Placed(ctx context.Context, incarnation string) (out []stacks.StackID, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query("SELECT stack FROM placements WHERE incarnation = ? ORDER BY stack", incarnation)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			id, err := stacks.ParseStackID(s)
			if err != nil {
				return err
			}
			out = append(out, id)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("placements of %s: %w", incarnation, err)
	}
	return out, nil
}

// Addresses lists the addresses ("host:port") that placements have.
func (c *Catalog) Addresses(ctx context.Context) (out []string, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query("SELECT address FROM placements WHERE address IS NOT NULL ORDER BY address")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var a string
			if err := rows.Scan(&a); err != nil {
				return err
			}
			out = append(out, a)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return out, nil
}

// Placement reads a region's placement; ErrNotFound.
func (c *Catalog) Placement(ctx context.Context, id stacks.StackID) (p stacks.Placement, err error) {
	var text string
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT placement FROM placements WHERE stack = ?", id.String()).Scan(&text)
	})
	if err != nil {
		return stacks.Placement{}, fmt.Errorf("placement of %s: %w", id, notFound(err))
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return stacks.Placement{}, fmt.Errorf("placement of %s: %w", id, err)
	}
	return p, nil
}

// PutEndpoint stores where a region answers; sealed.
func (c *Catalog) PutEndpoint(ctx context.Context, id stacks.StackID, e stacks.Endpoint) error {
	sealed, err := c.sealJSON(e, rowContext("endpoints", id.String()))
	if err != nil {
		return err
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO endpoints (stack, incarnation, sealed) VALUES (?, ?, ?) ON CONFLICT (stack) DO UPDATE SET sealed = excluded.sealed", id.String(), id.Incarnation, sealed)
		if err != nil {
			return fmt.Errorf("endpoint of %s: %w", id, err)
		}
		return tx.Notify("database", id.Namespace+"/"+id.Name)
	})
}

// Endpoint reads it; ErrNotFound.
func (c *Catalog) Endpoint(ctx context.Context, id stacks.StackID) (e stacks.Endpoint, err error) {
	var sealed []byte
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT sealed FROM endpoints WHERE stack = ?", id.String()).Scan(&sealed)
	})
	if err != nil {
		return stacks.Endpoint{}, fmt.Errorf("endpoint of %s: %w", id, notFound(err))
	}
	return e, c.unsealJSON(sealed, rowContext("endpoints", id.String()), &e)
}
