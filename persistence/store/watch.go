package store

import (
	"context"
	"database/sql"
	"errors"
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

// cursor is a place in the change feed.
type cursor interface {
	// start puts it at the end of what is committed.
	start(tx *Tx) error
	// next reads the changes that were committed since; they are read again until took says that they were sent.
	next(tx *Tx) ([]Change, error)
	took(changes []Change)
}

// Watch sends what is committed from now on, by any process, until ctx ends; the channel is closed then. Only the newest few thousand
// changes are kept: a watcher that does not read for longer misses some, and reads what it needs from the rows. Where the store cannot
// be reached at once, the feed begins when it can.
func (s *Store) Watch(ctx context.Context) <-chan Change {
	out := make(chan Change)
	w, ok := s.feed.join()
	if !ok {
		close(out)
		return out
	}
	at := s.newCursor()
	started := s.Read(ctx, at.start) == nil // "from now" is settled before Watch returns: a change committed after it is seen
	go func() {
		defer close(out)
		defer s.feed.leave(w)
		for {
			var changes []Change
			err := s.Read(ctx, func(tx *Tx) (err error) {
				if !started {
					return at.start(tx)
				}
				changes, err = at.next(tx)
				return err
			})
			if err != nil && ctx.Err() != nil {
				return
			}
			if err == nil && started {
				for _, c := range changes {
					select {
					case out <- c:
					case <-ctx.Done():
						return
					case <-s.closing:
						return
					}
				}
				at.took(changes)
			}
			started = started || err == nil
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

// feed wakes the watchers of one store: at once for a commit of this process, by one shared poll for those of others.
type feed struct {
	s        *Store
	every    time.Duration
	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
	polling  bool
	// announce wakes the goroutine that tells other processes of a commit; nil where they see it by themselves.
	announce chan struct{}
	wg       sync.WaitGroup
}

// committed tells the watchers of a commit of this process.
func (f *feed) committed() {
	f.nudge()
	if f.announce != nil {
		select {
		case f.announce <- struct{}{}:
		default: // one that is not sent yet speaks for this commit too
		}
	}
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
		go func() {
			defer f.wg.Done()
			f.s.listen(f)
		}()
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
