package store

import "time"

// PollEvery sets how often watchers that come later look for changes of other processes.
func (s *Store) PollEvery(d time.Duration) { s.feed.every = d }
