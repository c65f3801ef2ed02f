package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// pollEvery is how often the store is asked whether another process has committed: people feel 100 ms, a poll costs about 10 us.
	pollEvery = 25 * time.Millisecond
	// keepChanges is how many changes stay in the feed; every pruneEvery-th change prunes it.
	keepChanges = 8192
	pruneEvery  = 512
)

// Change is one line of the change feed.
type Change struct {
	Seq        int64
	Topic, Key string
}

// Notify appends a change of a topic ("run", "database", "head", "step") and its key to the change feed, within the transaction.
func (tx *Tx) Notify(topic, key string) error {
	r, err := tx.Exec("INSERT INTO changes (topic, key, at) VALUES (?, ?, ?)", topic, key, time.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	tx.notified = true
	seq, err := r.LastInsertId()
	if err != nil || seq%pruneEvery != 0 {
		return err
	}
	if _, err := tx.Exec("DELETE FROM changes WHERE seq <= ?", seq-keepChanges); err != nil {
		return fmt.Errorf("prune the change feed: %w", err)
	}
	return nil
}

// Watch sends changes with a higher sequence than after (0: from now) until ctx ends, from any process; the channel is closed then.
// Only the newest few thousand changes are kept: a watcher that was away for longer reads what it needs from the rows.
func (s *Store) Watch(ctx context.Context, after int64) <-chan Change {
	out := make(chan Change)
	w, ok := s.feed.join()
	if !ok {
		close(out)
		return out
	}
	// "From now" is settled before Watch returns: a change committed after it is seen.
	if after == 0 {
		if seq, err := s.lastChange(ctx); err == nil {
			after = seq
		}
	}
	go func() {
		defer close(out)
		defer s.feed.leave(w)
		for {
			changes, err := s.changesAfter(ctx, after)
			if err != nil && ctx.Err() != nil {
				return
			}
			for _, c := range changes {
				select {
				case out <- c:
					after = c.Seq
				case <-ctx.Done():
					return
				case <-s.closing:
					return
				}
			}
			if len(changes) == changesPage {
				continue
			}
			select {
			case <-w:
			case <-ctx.Done():
				return
			case <-s.closing:
				return
			}
		}
	}()
	return out
}

func (s *Store) lastChange(ctx context.Context) (seq int64, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		return tx.QueryRow("SELECT coalesce(max(seq), 0) FROM changes").Scan(&seq)
	})
	return seq, err
}

const changesPage = 500

func (s *Store) changesAfter(ctx context.Context, after int64) (out []Change, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		out = out[:0]
		rows, err := tx.Query("SELECT seq, topic, key FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", after, changesPage)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var c Change
			if err := rows.Scan(&c.Seq, &c.Topic, &c.Key); err != nil {
				return err
			}
			out = append(out, c)
		}
		return rows.Err()
	})
	return out, err
}

// feed wakes the watchers of one store: at once for a commit of this process, by one shared poll for those of others.
type feed struct {
	s        *Store
	every    time.Duration
	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
	polling  bool
	wg       sync.WaitGroup
}

func (f *feed) init(s *Store) { f.s, f.every, f.watchers = s, pollEvery, map[chan struct{}]struct{}{} }

// join adds a watcher; false once the store is closed. The first one starts the poll.
func (f *feed) join() (chan struct{}, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.s.closing:
		return nil, false
	default:
	}
	w := make(chan struct{}, 1)
	f.watchers[w] = struct{}{}
	f.wg.Add(1)
	if !f.polling {
		f.polling = true
		f.wg.Add(1)
		go f.poll()
	}
	return w, true
}

func (f *feed) leave(w chan struct{}) {
	f.mu.Lock()
	delete(f.watchers, w)
	f.mu.Unlock()
	f.wg.Done()
}

// wait waits for the watchers and the poll to end, once the store is closing; taking the lock lets a join that has begun be counted.
func (f *feed) wait() {
	f.mu.Lock()
	f.mu.Unlock() //nolint:staticcheck // an empty section on purpose
	f.wg.Wait()
}

func (f *feed) nudge() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// poll asks for PRAGMA data_version, which moves when another connection commits; it ends when nobody watches.
func (f *feed) poll() {
	defer f.wg.Done()
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	var conn *sql.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	var last int64
	for {
		select {
		case <-f.s.closing:
			return
		case <-tick.C:
		}
		if f.idle() {
			return
		}
		version, err := dataVersion(f.s.reads, &conn)
		if err != nil || version != last {
			last = version
			f.nudge()
		}
	}
}

// idle ends the poll where nobody watches, so that the next watcher starts another.
func (f *feed) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) == 0 {
		f.polling = false
		return true
	}
	return false
}

// dataVersion asks on one connection that is kept: the number means something only there. The connection goes back to the pool
// where it fails, and the next call takes another.
func dataVersion(db *sql.DB, conn **sql.Conn) (version int64, err error) {
	if *conn == nil {
		if *conn, err = db.Conn(context.Background()); err != nil {
			*conn = nil
			return 0, err
		}
	}
	if err = (*conn).QueryRowContext(context.Background(), "PRAGMA data_version").Scan(&version); err != nil {
		err = errors.Join(err, (*conn).Close())
		*conn = nil
	}
	return version, err
}
