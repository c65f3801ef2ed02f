package postgres

import (
	"context"
	"errors"
	"fmt"

	"meridian/providers"
)

// ensureFollows makes nothing, because the provider has made the replica: it sees that the target follows, and that it is no other server's
// copy, and makes the heartbeat's table at the source.
func ensureFollows(ctx context.Context, in providers.LinkInput) error {
	var from, to int64
	var recovering bool
	const lineage = "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system())"
	dst, err := connect(ctx, in.To, maintenanceDB, in.RunNumber)
	if err != nil {
		return err
	}
	defer shut(dst)
	if err := dst.QueryRow(ctx, lineage).Scan(&recovering, &to); err != nil {
		return fmt.Errorf("lineage of %s: %w", in.To.Region, err)
	}
	if !recovering {
		return permanent("link %s: the server in %s follows no other: it was promoted, or never was a replica", in.Link.Name(), in.To.Region)
	}
	g, err := newGuard(ctx, in.From, in.RunNumber)
	if err != nil {
		return err
	}
	defer g.close()
	var follows bool
	if err := g.conn.QueryRow(ctx, lineage).Scan(&follows, &from); err != nil {
		return fmt.Errorf("lineage of %s: %w", in.From.Region, err)
	}
	if from != to {
		return permanent("link %s: the server in %s is a copy of another server than that in %s", in.Link.Name(), in.To.Region, in.From.Region)
	}
	if err := g.hold(ctx); err != nil {
		return err
	}
	if _, err := g.conn.Exec(ctx, heartbeatTable); err != nil {
		return fmt.Errorf("make heartbeat table: %w", err)
	}
	return nil
}

// checkFollows writes a row at the source and reads it at the replica.
func (e *Engine) checkFollows(ctx context.Context, in providers.LinkInput) (providers.LinkStatus, error) {
	if err := readFence(ctx, in.From, in.RunNumber); err != nil {
		return providers.LinkStatus{}, err
	}
	p := pair{database: maintenanceDB, name: linkPrefix(in)}
	var err error
	if p.src, err = connect(ctx, in.From, maintenanceDB, in.RunNumber); err != nil {
		return providers.LinkStatus{}, err
	}
	defer shut(p.src)
	if p.dst, err = connect(ctx, in.To, maintenanceDB, in.RunNumber); err != nil {
		return providers.LinkStatus{}, err
	}
	defer shut(p.dst)
	var recovering, there bool
	if err := p.dst.QueryRow(ctx, "SELECT pg_is_in_recovery(), to_regclass('meridian.heartbeat') IS NOT NULL").Scan(&recovering, &there); err != nil {
		return providers.LinkStatus{}, fmt.Errorf("look at %s: %w", in.To.Region, err)
	}
	switch {
	case !recovering:
		return providers.LinkStatus{}, permanent("the server in %s follows no other any more: it was promoted", in.To.Region)
	case !there:
		return pending("%s has not received the heartbeat's table of %s yet", in.To.Region, in.From.Region), nil
	}
	status, err := (&link{engine: e, in: in}).checkBeat(ctx, p)
	if err == nil && status.State == providers.StateReady {
		status.Message = fmt.Sprintf("a row written in %s was read in %s", in.From.Region, in.To.Region)
	}
	return status, err
}

// removeFollows takes the heartbeat's row from the source; the replica goes with its region.
func removeFollows(ctx context.Context, in providers.LinkInput) error {
	if in.From.Endpoint.Host == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sideWait)
	defer cancel()
	g, err := newGuard(ctx, in.From, in.RunNumber)
	if err == nil {
		defer g.close()
		_, err = g.conn.Exec(ctx, "DELETE FROM meridian.heartbeat WHERE link = $1", linkPrefix(in))
	}
	switch {
	case err == nil, sqlState(err) == codeNoTable:
		return nil
	case unreachable(err) && !errors.Is(err, errBusy) && !errors.Is(err, providers.ErrSuperseded):
		return nil // a row that nobody reads holds nothing back
	}
	return fmt.Errorf("remove heartbeat in %s: %w", in.From.Region, err)
}
