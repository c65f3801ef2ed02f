package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"meridian/persistence/store"
	"meridian/stacks"
)

// ImportRegion is what was found of one region that was there before Meridian.
type ImportRegion struct {
	Region    string
	Placement stacks.Placement
	// Secret is the catalog's name of its password, Password its value.
	Secret, Password string
}

// Import is Submit of a database whose regions are there already: their placements and passwords are stored with its first run, all or
// nothing, and take the place of those of an import that was refused. ErrRefused while a run works on it, or where a region of it is
// Meridian's already: the caller has looked that its states are empty.
func (c *Catalog) Import(ctx context.Context, in SubmitInput, regions []ImportRegion) (run Run, err error) {
	if in.Kind != stacks.RunApply || in.Yes {
		return Run{}, fmt.Errorf("import: want an apply without a yes given in advance: %w", ErrRefused)
	}
	effective, err := canonical(in.Effective)
	if err != nil {
		return Run{}, fmt.Errorf("import: %w", err)
	}
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		d, err := livingDatabase(tx, in.Effective.Metadata.Namespace, in.Effective.Metadata.Name)
		if err == nil && d.ActiveRun != "" {
			return fmt.Errorf("run %s works on database %s/%s: %w", d.ActiveRun, d.Namespace, d.Name, ErrRefused)
		}
		if run, err = c.submit(tx, in, effective); err != nil {
			return err
		}
		for _, r := range regions {
			if err := c.importRegion(tx, run, r); err != nil {
				return err
			}
		}
		return nil
	})
	return run, err
}

func (c *Catalog) importRegion(tx *store.Tx, run Run, r ImportRegion) error {
	id := stacks.StackID{Namespace: run.Namespace, Name: run.Name, Incarnation: run.Incarnation, Region: r.Region}
	text, err := json.Marshal(r.Placement)
	if err != nil {
		return fmt.Errorf("place %s: %w", id, err)
	}
	_, err = tx.Exec(`INSERT INTO placements (stack, incarnation, address, placement) VALUES (?, ?, ?, ?)
		ON CONFLICT (stack) DO UPDATE SET address = excluded.address, placement = excluded.placement`, id.String(), id.Incarnation, hostPort(r.Placement), string(text))
	if store.IsConflict(err) {
		return fmt.Errorf("what %s is at is another region's already: %w", r.Region, ErrRefused)
	}
	if err != nil {
		return fmt.Errorf("place %s: %w", id, err)
	}
	if r.Secret == "" {
		return nil
	}
	sealed, err := c.keys.Seal([]byte(r.Password), rowContext("secrets", id.Incarnation, r.Secret))
	if err != nil {
		return fmt.Errorf("secret %s: %w", r.Secret, err)
	}
	_, err = tx.Exec(`INSERT INTO secrets (incarnation, name, created_at, sealed) VALUES (?, ?, ?, ?)
		ON CONFLICT (incarnation, name) DO UPDATE SET sealed = excluded.sealed`, id.Incarnation, r.Secret, now().UnixMicro(), sealed)
	if err != nil {
		return fmt.Errorf("secret %s: %w", r.Secret, err)
	}
	return nil
}
