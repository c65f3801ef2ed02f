package store

import "time"

// What only tests may see.
var (
	Numbered    = numbered
	PostgresDDL = postgresDDL
)

// PollEvery sets how often watchers that come later look for changes of other processes.
func (s *Store) PollEvery(d time.Duration) { s.feed.every = d }
