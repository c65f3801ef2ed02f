package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// lookEvery is how often the feed is read although nobody was heard: a notice may be lost with its connection.
	lookEvery = time.Second
	// listenRetry is the pause before the next try to listen.
	listenRetry = 500 * time.Millisecond
	// announceLimit bounds one notice.
	announceLimit = 2 * time.Second
)

// announce tells other processes of commits: after them and outside of their transactions, because NOTIFY inside lets only one commit
// at a time. A notice that is lost costs its watchers the time until they look by themselves.
func (d *postgresDialect) announce(s *Store) {
	defer s.feed.wg.Done()
	say := func() {
		ctx, stop := context.WithTimeout(context.Background(), announceLimit)
		defer stop()
		_, _ = s.db.ExecContext(ctx, "SELECT pg_notify($1, '')", d.channel)
	}
	for {
		select {
		case <-s.closing:
			select {
			case <-s.feed.announce: // a runner ends with its last commit
				say()
			default:
			}
			return
		case <-s.feed.announce:
			say()
		}
	}
}

// listen nudges the watchers for each notice, and every lookEvery besides.
func (d *postgresDialect) listen(f *feed) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			d.hear(ctx, f)
			f.nudge() // what was said while nobody listened
			t := time.NewTimer(listenRetry)
			select {
			case <-ctx.Done():
			case <-t.C:
			}
			t.Stop()
		}
	}()
	tick := time.NewTicker(max(f.every, lookEvery))
	defer tick.Stop()
	for {
		select {
		case <-f.s.closing:
			stop()
			<-ended
			return
		case <-tick.C:
		}
		if f.idle() {
			stop()
			<-ended
			return
		}
		f.nudge()
	}
}

// hear listens on a connection of its own until it breaks or ctx ends.
func (d *postgresDialect) hear(ctx context.Context, f *feed) {
	config := d.config.Copy()
	if err := d.password(ctx, config); err != nil {
		return
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return
	}
	defer func() {
		end, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{d.channel}.Sanitize()); err != nil {
		return
	}
	f.nudge() // what was said before
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return
		}
		f.nudge()
	}
}

// postgresCursor is a place in the feed. Sequences are given out before they are committed, so that a reader who goes by them passes
// over one that is committed late. It goes by transactions: a snapshot sees every transaction below its xmin ended, so what a later
// snapshot sees besides is of transactions from there on.
type postgresCursor struct {
	xmin int64
	// seen are the changes of transactions from xmin on that were sent already, or were there at the start.
	seen map[int64]bool
	// then is what the last next read: the place that took makes the current one.
	then struct {
		xmin int64
		seen map[int64]bool
	}
}

func (*postgresDialect) newCursor() cursor { return &postgresCursor{} }

func (c *postgresCursor) start(tx *Tx) error {
	if _, err := c.next(tx); err != nil {
		return err
	}
	c.took(nil)
	return nil
}

func (c *postgresCursor) next(tx *Tx) (out []Change, err error) {
	if err := tx.QueryRow("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").Scan(&c.then.xmin); err != nil {
		return nil, err
	}
	rows, err := tx.Query("SELECT seq, xid, topic, key FROM changes WHERE xid >= ? ORDER BY seq", c.xmin)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	c.then.seen = map[int64]bool{}
	for rows.Next() {
		var change Change
		var xid int64
		if err := rows.Scan(&change.Seq, &xid, &change.Topic, &change.Key); err != nil {
			return nil, err
		}
		if xid >= c.then.xmin {
			c.then.seen[change.Seq] = true
		}
		if !c.seen[change.Seq] {
			out = append(out, change)
		}
	}
	return out, rows.Err()
}

func (c *postgresCursor) took([]Change) { c.xmin, c.seen = c.then.xmin, c.then.seen }
