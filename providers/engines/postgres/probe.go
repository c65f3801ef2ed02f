package postgres

import (
	"context"
	"errors"
	"fmt"

	"meridian/providers"
)

// Probe asks the server a query; one that takes no writes answers only where it is a replica. Nil means ready; an error that does not wrap providers.ErrPermanent means not yet.
func (e *Engine) Probe(ctx context.Context, t providers.Target) error {
	conn, err := connect(ctx, t, maintenanceDB, 0)
	if err != nil {
		return settle(err, t.Password)
	}
	defer shut(conn)
	var one int
	var recovering bool
	if err := conn.QueryRow(ctx, "SELECT 1, pg_is_in_recovery()").Scan(&one, &recovering); err != nil {
		return settle(fmt.Errorf("query %s: %w", t.Region, err), t.Password)
	}
	if one != 1 || recovering && !t.Follows {
		return fmt.Errorf("server in %s: %w", t.Region, errRecovering)
	}
	return nil
}

var errRecovering = errors.New("still in recovery, it takes no writes yet")
