package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// beatPoll is how exact the lag is.
const beatPoll = 5 * time.Millisecond

const heartbeatTable = `CREATE SCHEMA IF NOT EXISTS meridian;
	CREATE TABLE IF NOT EXISTS meridian.heartbeat (link text PRIMARY KEY, beat text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())`

// ensureHeartbeat makes the table on both sides before anything is published: the row that proves a link goes the way of all rows.
func (l *link) ensureHeartbeat(ctx context.Context, p pair) error {
	for _, conn := range []*pgx.Conn{p.src, p.dst} {
		var there bool
		if err := conn.QueryRow(ctx, "SELECT to_regclass('meridian.heartbeat') IS NOT NULL").Scan(&there); err != nil {
			return fmt.Errorf("look up heartbeat table: %w", err)
		}
		if there {
			continue
		}
		if err := l.hold(ctx); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, heartbeatTable); err != nil {
			return fmt.Errorf("make heartbeat table: %w", err)
		}
	}
	return nil
}

// beat is the result of one row written at the source.
type beat struct {
	arrived bool
	lag     time.Duration // when arrived: from the commit until it was seen, on our own clock
	behind  time.Duration // when not: the age, on the source's clock, of the newest row that did arrive; 0 where none has
}

// sendBeat writes a row at the source and waits for it at the target, for a bounded time.
func (e *Engine) sendBeat(ctx context.Context, p pair) (beat, error) {
	id := rand.Text()
	_, err := p.src.Exec(ctx, `INSERT INTO meridian.heartbeat (link, beat) VALUES ($1, $2)
		ON CONFLICT (link) DO UPDATE SET beat = excluded.beat, at = clock_timestamp()`, p.name, id)
	if err != nil {
		return beat{}, fmt.Errorf("write heartbeat: %w", err)
	}
	committed := time.Now()
	var seen string
	var at time.Time
	for {
		err := p.dst.QueryRow(ctx, "SELECT beat, at FROM meridian.heartbeat WHERE link = $1", p.name).Scan(&seen, &at)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
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
	var seconds float64
	if err := p.src.QueryRow(ctx, "SELECT extract(epoch FROM clock_timestamp() - $1::timestamptz)::float8", at).Scan(&seconds); err != nil {
		return beat{}, fmt.Errorf("read the source's clock: %w", err)
	}
	return beat{behind: time.Duration(seconds * float64(time.Second))}, nil
}
