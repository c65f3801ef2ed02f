package catalog

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"meridian/persistence/store"
)

// LogLine is one line of a run's log: what Meridian did and met beside terraform's own words. It must hold no secret.
type LogLine struct {
	Seq   int64
	Run   string
	Part  string // region or link, "" for the whole run
	Level string // "INFO", "WARN" or "ERROR"
	At    time.Time
	Text  string
}

// keptLines bounds a run's log: a poll that waits for days says the same again and again.
const keptLines = 2000

// AppendLog appends a line; At is now. A line that says what the newest of its part says is not repeated.
func (c *Catalog) AppendLog(ctx context.Context, l LogLine) error {
	last, err := c.LastLog(ctx, l.Run, l.Part)
	if err != nil {
		return err
	}
	if last.Text == l.Text && last.Level == l.Level {
		return nil
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		var seq int64
		if err := tx.QueryRow("SELECT coalesce(max(seq), 0) + 1 FROM run_log").Scan(&seq); err != nil {
			return fmt.Errorf("log of run %s: %w", l.Run, err)
		}
		sealed, err := c.keys.Seal([]byte(l.Text), rowContext("run_log", l.Run, strconv.FormatInt(seq, 10)))
		if err != nil {
			return fmt.Errorf("log of run %s: %w", l.Run, err)
		}
		if _, err := tx.Exec("INSERT INTO run_log (seq, run, part, level, at, sealed) VALUES (?, ?, ?, ?, ?, ?)", seq, l.Run, l.Part, l.Level, now().UnixMicro(), sealed); err != nil {
			return fmt.Errorf("log of run %s: %w", l.Run, err)
		}
		_, err = tx.Exec("DELETE FROM run_log WHERE run = ? AND seq <= (SELECT seq FROM run_log WHERE run = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)", l.Run, l.Run, keptLines)
		return err
	})
}

// LogLines lists a run's lines that are younger than after (nanoseconds since 1970), oldest first.
func (c *Catalog) LogLines(ctx context.Context, run string, after int64) ([]LogLine, error) {
	return c.logLines(ctx, run, "SELECT seq, part, level, at, sealed FROM run_log WHERE run = ? AND at > ? ORDER BY seq", run, after/1000)
}

// LastLog is the newest line of a run's part; its Text is empty where there is none.
func (c *Catalog) LastLog(ctx context.Context, run, part string) (LogLine, error) {
	lines, err := c.logLines(ctx, run, "SELECT seq, part, level, at, sealed FROM run_log WHERE run = ? AND part = ? ORDER BY seq DESC LIMIT 1", run, part)
	if err != nil || len(lines) == 0 {
		return LogLine{}, err
	}
	return lines[0], nil
}

func (c *Catalog) logLines(ctx context.Context, run, query string, args ...any) (out []LogLine, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(query, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			l := LogLine{Run: run}
			var at int64
			var sealed []byte
			if err := rows.Scan(&l.Seq, &l.Part, &l.Level, &at, &sealed); err != nil {
				return err
			}
			text, err := c.keys.Open(sealed, rowContext("run_log", run, strconv.FormatInt(l.Seq, 10)))
			if err != nil {
				return err
			}
			l.At, l.Text = fromMicros(at), string(text)
			out = append(out, l)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("log of run %s: %w", run, err)
	}
	return out, nil
}
