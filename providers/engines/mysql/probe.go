package mysql

import (
	"context"
	"errors"
	"fmt"

	"meridian/providers"
)

var errReadOnly = errors.New("it is read-only, and takes no writes yet")

// Probe asks the server a query; one that takes no writes answers only where it is a replica. Nil means ready; an error that does not wrap providers.ErrPermanent means not yet.
func (e *Engine) Probe(ctx context.Context, t providers.Target) error {
	s, err := connect(ctx, t)
	if err != nil {
		return settle(err, t.Password)
	}
	defer s.close()
	var one int
	var readOnly bool
	if err := s.QueryRowContext(ctx, "SELECT 1, @@global.read_only").Scan(&one, &readOnly); err != nil {
		return settle(fmt.Errorf("query %s: %w", t.Region, err), t.Password)
	}
	if one != 1 || readOnly && !t.Follows {
		return fmt.Errorf("server in %s: %w", t.Region, errReadOnly)
	}
	return nil
}
