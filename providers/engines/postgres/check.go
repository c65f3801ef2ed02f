package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

// CheckLink takes one look. It is ready when in every database the initial copy is done and a row written at the source was
// read at the target within MaxLag (0: any lag); Lag is that of the slowest database. Tables that are new at the source are
// added on the way. Failed means that waiting will not help.
func (e *Engine) CheckLink(ctx context.Context, in providers.LinkInput) (providers.LinkStatus, error) {
	status, err := e.checkLink(ctx, in)
	if errors.Is(err, providers.ErrPermanent) && !errors.Is(err, providers.ErrSuperseded) {
		return providers.LinkStatus{State: providers.StateFailed, Message: settle(err, secretsOf(in)...).Error()}, nil
	}
	return status, settle(err, secretsOf(in)...)
}

func (e *Engine) checkLink(ctx context.Context, in providers.LinkInput) (providers.LinkStatus, error) {
	if in.Link.Mode == stacks.LinkPhysical {
		return e.checkFollows(ctx, in)
	}
	if err := readFence(ctx, in.To, in.RunNumber); err != nil {
		return providers.LinkStatus{}, err
	}
	l, err := e.open(ctx, in)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	defer l.close()
	// All databases are looked at before any row is sent: "copying" of one is better news than the lag of another.
	for _, p := range l.pairs {
		status, err := l.checkCopy(ctx, p)
		if err != nil || status.State != providers.StateReady {
			return status, err
		}
	}
	ready := providers.LinkStatus{State: providers.StateReady}
	for _, p := range l.pairs {
		status, err := l.checkBeat(ctx, p)
		if err != nil || status.State != providers.StateReady {
			return status, err
		}
		ready.Lag = max(ready.Lag, status.Lag)
	}
	ready.Message = fmt.Sprintf("a row written in %s was read in %s", in.From.Region, in.To.Region)
	return ready, nil
}

// readFence refuses a look of a run that is older than the last one on the server.
func readFence(ctx context.Context, t providers.Target, run int64) error {
	conn, err := connect(ctx, t, maintenanceDB, run)
	if err != nil {
		return err
	}
	defer shut(conn)
	return wrapIf(checkFence(ctx, conn, run), "fence of "+t.Region)
}

func pending(format string, args ...any) providers.LinkStatus {
	return providers.LinkStatus{State: providers.StatePending, Message: fmt.Sprintf(format, args...)}
}

// late is pending for no other reason than time.
func late(format string, args ...any) providers.LinkStatus {
	status := pending(format, args...)
	status.Late = true
	return status
}

// checkCopy looks at everything but the rows: it is ready when each table's initial copy is done.
func (l *link) checkCopy(ctx context.Context, p pair) (providers.LinkStatus, error) {
	from, to := l.in.From.Region, l.in.To.Region
	sub, err := l.readSubscription(ctx, p)
	switch {
	case err != nil:
		return providers.LinkStatus{}, err
	case sub == nil:
		return providers.LinkStatus{}, permanent("database %s in %s has no subscription to %s: apply again", p.database, to, from)
	case !sub.enabled:
		return providers.LinkStatus{}, permanent("the subscription of database %s in %s is disabled: apply again", p.database, to)
	}
	s, err := readSlot(ctx, p.src, p.name)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	if s == nil || s.lost {
		return providers.LinkStatus{}, l.broken(p, "replication slot")
	}
	if err := keyless(ctx, p, from); err != nil {
		return providers.LinkStatus{}, err
	}
	if err := checkColumns(ctx, p, to); err != nil {
		return providers.LinkStatus{}, err
	}
	added, err := l.refresh(ctx, p)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	if status, err := l.checkWorker(ctx, p, sub); err != nil || status.State != providers.StateReady {
		return status, err
	}
	tables, err := subscribed(ctx, p)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	done, all, ours := 0, 0, true
	for table, state := range tables {
		switch {
		case table == heartbeatSchema+".heartbeat":
			ours = state == "r"
		case state == "r":
			done, all = done+1, all+1
		default:
			all++
		}
	}
	switch {
	case done < all:
		return l.watchCopy(ctx, p, sub, added, pending("copying %s: %d of %d tables", p.database, done, all))
	case !ours:
		return l.watchCopy(ctx, p, sub, added, pending("starting to replicate %s", p.database))
	}
	return providers.LinkStatus{State: providers.StateReady}, nil
}

// checkWorker sees whether the target's server is at work. PostgreSQL keeps no text of a worker's last error outside its log,
// so the usual reasons are tried.
func (l *link) checkWorker(ctx context.Context, p pair, sub *linkSubscription) (providers.LinkStatus, error) {
	var alive bool
	err := p.dst.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_stat_subscription WHERE subid = $1 AND relid IS NULL AND pid IS NOT NULL)", sub.oid).Scan(&alive)
	if err != nil {
		return providers.LinkStatus{}, fmt.Errorf("look for the worker: %w", err)
	}
	if alive {
		return providers.LinkStatus{State: providers.StateReady}, nil
	}
	ok, err := logsIn(ctx, l.in.From, p.database, roleName(l.in), l.in.Password)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	if !ok {
		return pending("%s refuses the replication role's password: apply again", l.in.From.Region), nil
	}
	// The counters came with 15.
	var applyErrors, copyErrors int64
	err = p.dst.QueryRow(ctx, "SELECT apply_error_count, sync_error_count FROM pg_stat_subscription_stats WHERE subid = $1", sub.oid).Scan(&applyErrors, &copyErrors)
	if _, err := one(err); err != nil && sqlState(err) != codeNoTable {
		return providers.LinkStatus{}, fmt.Errorf("count the worker's errors: %w", err)
	}
	if applyErrors+copyErrors == 0 {
		return pending("the worker of database %s in %s is starting, or does not reach %s", p.database, l.in.To.Region, l.in.From.Region), nil
	}
	return pending("the worker of database %s in %s is not running (%d errors so far, %d while copying): its server's log says why",
		p.database, l.in.To.Region, applyErrors, copyErrors), nil
}

func (l *link) checkBeat(ctx context.Context, p pair) (providers.LinkStatus, error) {
	from, to := l.in.From.Region, l.in.To.Region
	b, err := l.engine.sendBeat(ctx, p)
	if err != nil {
		return providers.LinkStatus{}, fmt.Errorf("database %s: %w", p.database, err)
	}
	limit := l.in.MaxLag
	switch {
	case b.arrived && (limit <= 0 || b.lag <= limit):
		return providers.LinkStatus{State: providers.StateReady, Lag: b.lag}, nil
	case b.arrived:
		return late("database %s: a row took %s from %s to %s, more than %s", p.database, b.lag.Round(time.Millisecond), from, to, limit), nil
	case b.behind > 0 && b.behind <= limit:
		return providers.LinkStatus{State: providers.StateReady, Lag: b.behind}, nil
	case b.behind > 0:
		return late("database %s in %s is %s behind %s", p.database, to, b.behind.Round(time.Millisecond), from), nil
	}
	return pending("database %s: a row written in %s did not arrive in %s within %s", p.database, from, to, l.engine.beatWait), nil
}
