package mysql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

// beatPoll is how exact the lag is.
const beatPoll = 5 * time.Millisecond

const heartbeat = ours + ".heartbeat"

// EnsureLink makes nothing of a read replica, because the provider has made it: it sees that the target follows, and follows this source, and makes
// the table at the source whose row proves it.
func (e *Engine) EnsureLink(ctx context.Context, in providers.LinkInput) error {
	return settle(ensureLink(ctx, in), in.From.Password, in.To.Password)
}

func ensureLink(ctx context.Context, in providers.LinkInput) error {
	if in.Link.Mode != stacks.LinkPhysical {
		return permanent("link %s: mode %q is not one of MySQL and MariaDB: use physical, between two regions of a provider that makes read replicas", in.Link.Name(), in.Link.Mode)
	}
	to, err := connect(ctx, in.To)
	if err != nil {
		return err
	}
	defer to.close()
	from, err := connect(ctx, in.From)
	if err != nil {
		return err
	}
	defer from.close()
	if _, err := to.follows(ctx, in, from); err != nil {
		return err
	}
	g, err := newGuard(ctx, in.From, in.RunNumber)
	if err != nil {
		return err
	}
	defer g.close()
	if err := g.hold(ctx); err != nil {
		return err
	}
	err = g.exec(ctx, "CREATE TABLE IF NOT EXISTS "+heartbeat+` (link VARCHAR(191) PRIMARY KEY, beat VARCHAR(64) NOT NULL,
		at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)) ENGINE=InnoDB`)
	if err != nil {
		return fmt.Errorf("make heartbeat table: %w", err)
	}
	return nil
}

// CheckLink takes one look: a row is written at the source and read at the replica. It is ready when that took at most MaxLag (0: any lag).
// Failed means that waiting will not help.
func (e *Engine) CheckLink(ctx context.Context, in providers.LinkInput) (providers.LinkStatus, error) {
	status, err := e.checkLink(ctx, in)
	err = settle(err, in.From.Password, in.To.Password)
	if errors.Is(err, providers.ErrPermanent) && !errors.Is(err, providers.ErrSuperseded) {
		return providers.LinkStatus{State: providers.StateFailed, Message: err.Error()}, nil
	}
	return status, err
}

func (e *Engine) checkLink(ctx context.Context, in providers.LinkInput) (providers.LinkStatus, error) {
	from, err := connect(ctx, in.From)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	defer from.close()
	if err := checkFence(ctx, from, in.RunNumber); err != nil {
		return providers.LinkStatus{}, fmt.Errorf("fence of %s: %w", in.From.Region, err)
	}
	to, err := connect(ctx, in.To)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	defer to.close()
	stopped, err := to.follows(ctx, in, from)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	b, err := e.sendBeat(ctx, from, to, linkKey(in))
	if err != nil {
		return providers.LinkStatus{}, err
	}
	return judge(in, b, stopped, e.beatWait), nil
}

// judge says what one row means. It is pure.
func judge(in providers.LinkInput, b beat, stopped string, wait time.Duration) providers.LinkStatus {
	pending := func(late bool, format string, args ...any) providers.LinkStatus {
		return providers.LinkStatus{State: providers.StatePending, Late: late, Message: fmt.Sprintf(format, args...)}
	}
	from, to := in.From.Region, in.To.Region
	ready := providers.LinkStatus{State: providers.StateReady, Message: fmt.Sprintf("a row written in %s was read in %s", from, to)}
	switch {
	case b.arrived && (in.MaxLag <= 0 || b.lag <= in.MaxLag):
		ready.Lag = b.lag
		return ready
	case b.arrived:
		return pending(true, "a row took %s from %s to %s, more than %s", b.lag.Round(time.Millisecond), from, to, in.MaxLag)
	case stopped != "":
		return pending(false, "%s in %s", stopped, to)
	case b.behind > 0 && b.behind <= in.MaxLag:
		ready.Lag = b.behind
		return ready
	case b.behind > 0:
		return pending(true, "%s is %s behind %s", to, b.behind.Round(time.Millisecond), from)
	}
	return pending(false, "a row written in %s did not arrive in %s within %s", from, to, wait)
}

// RemoveLink takes the row that proves a link from the source; the replica goes with its region.
func (e *Engine) RemoveLink(ctx context.Context, in providers.LinkInput) error {
	if in.From.Endpoint.Host == "" || in.Link.Mode != stacks.LinkPhysical {
		return nil
	}
	g, err := newGuard(ctx, in.From, in.RunNumber)
	if err == nil {
		defer g.close()
		err = g.exec(ctx, "DELETE FROM "+heartbeat+" WHERE link = ?", linkKey(in))
	}
	switch {
	case err == nil, isCode(err, codeNoTable, codeNoDatabase):
		return nil
	case code(err) == 0 && ctx.Err() == nil && !errors.Is(err, errBusy) && !errors.Is(err, providers.ErrSuperseded) && !errors.Is(err, providers.ErrPermanent):
		return nil // the source does not answer, and a row that nobody reads holds nothing back
	}
	return settle(fmt.Errorf("remove heartbeat in %s: %w", in.From.Region, err), in.From.Password)
}

// linkKey is the row of a link, fixed for its life.
func linkKey(in providers.LinkInput) string { return in.Stack.Incarnation + "/" + in.Link.Name() }

// follows refuses a target that follows no other server, or another one than the source, or that takes writes of its own. stopped says what of the
// replication does not run, "" where all does or where we may not ask.
func (s *session) follows(ctx context.Context, in providers.LinkInput, source *session) (stopped string, err error) {
	var readOnly bool
	if err := s.QueryRowContext(ctx, "SELECT @@global.read_only").Scan(&readOnly); err != nil {
		return "", fmt.Errorf("look at %s: %w", in.To.Region, err)
	}
	status, err := s.replicaStatus(ctx)
	switch {
	case noRight(err):
	case err != nil:
		return "", fmt.Errorf("replication of %s: %w", in.To.Region, err)
	case status == nil:
		return "", permanent("link %s: the server in %s follows no other: it was promoted, or never was a replica", in.Link.Name(), in.To.Region)
	}
	if !readOnly {
		return "", permanent("link %s: the server in %s takes writes of its own: switch read_only on, or make the replica again", in.Link.Name(), in.To.Region)
	}
	if of := status["master_server_id"] + status["source_server_id"]; of != "" && of != "0" {
		var id string
		if err := source.QueryRowContext(ctx, "SELECT @@global.server_id").Scan(&id); err != nil {
			return "", fmt.Errorf("identity of %s: %w", in.From.Region, err)
		}
		if id != of {
			return "", permanent("link %s: the server in %s follows another server than that in %s", in.Link.Name(), in.To.Region, in.From.Region)
		}
	}
	return whatStopped(status), nil
}

// whatStopped names the threads of a replica that do not run, with the number of the last error: its text may hold rows. It is pure.
func whatStopped(status map[string]string) string {
	var out []string
	for _, thread := range []struct{ name, what string }{{"io", "the thread that fetches"}, {"sql", "the thread that applies"}} {
		running, known := first(status, "replica_"+thread.name+"_running", "slave_"+thread.name+"_running")
		if !known || running == "Yes" {
			continue
		}
		said := thread.what + " does not run"
		if n := status["last_"+thread.name+"_errno"]; n != "" && n != "0" {
			said += " (error " + n + "; SHOW REPLICA STATUS says more)"
		}
		out = append(out, said)
	}
	return strings.Join(out, ", ")
}

func first(status map[string]string, names ...string) (string, bool) {
	for _, name := range names {
		if v, ok := status[name]; ok {
			return v, true
		}
	}
	return "", false
}

// replicaStatus is what a server says of its own replication, by the names of the columns in lower case; nil where it follows nobody.
func (s *session) replicaStatus(ctx context.Context) (map[string]string, error) {
	rows, err := s.QueryContext(ctx, "SHOW REPLICA STATUS")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		return nil, errors.Join(err, rows.Err())
	}
	values := make([]any, len(names))
	for i := range values {
		values[i] = new(sql.NullString)
	}
	if err := rows.Scan(values...); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i, name := range names {
		out[strings.ToLower(name)] = values[i].(*sql.NullString).String
	}
	return out, rows.Err()
}

// beat is the result of one row written at the source.
type beat struct {
	arrived bool
	lag     time.Duration // when arrived: from the commit until it was seen, on our own clock
	behind  time.Duration // when not: the age, on the source's clock, of the newest row that did arrive; 0 where none has
}

// sendBeat writes a row at the source and waits for it at the replica, for a bounded time.
func (e *Engine) sendBeat(ctx context.Context, from, to *session, key string) (beat, error) {
	id := rand.Text()
	if err := from.exec(ctx, "INSERT INTO "+heartbeat+" (link, beat) VALUES (?, ?) ON DUPLICATE KEY UPDATE beat = VALUES(beat)", key, id); err != nil {
		return beat{}, fmt.Errorf("write heartbeat: %w", err)
	}
	committed := time.Now()
	var seen, at string
	for {
		err := to.QueryRowContext(ctx, "SELECT beat, CAST(at AS CHAR) FROM "+heartbeat+" WHERE link = ?", key).Scan(&seen, &at)
		if isCode(err, codeNoTable, codeNoDatabase) {
			err = nil // it has not come yet
		}
		if _, err := one(err); err != nil {
			return beat{}, fmt.Errorf("read heartbeat: %w", err)
		}
		elapsed := time.Since(committed)
		if seen == id {
			return beat{arrived: true, lag: elapsed}, nil
		}
		if elapsed > e.beatWait {
			break
		}
		if err := pause(ctx, beatPoll); err != nil {
			return beat{}, fmt.Errorf("wait for heartbeat: %w", err)
		}
	}
	if seen == "" {
		return beat{}, nil
	}
	var micros int64
	if err := from.QueryRowContext(ctx, "SELECT TIMESTAMPDIFF(MICROSECOND, ?, NOW(6))", at).Scan(&micros); err != nil {
		return beat{}, fmt.Errorf("read the source's clock: %w", err)
	}
	return beat{behind: time.Duration(micros) * time.Microsecond}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
