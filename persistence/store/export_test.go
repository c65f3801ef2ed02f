package store

import "time"

// What only tests may see.
var (
	Numbered    = numbered
	PostgresDDL = postgresDDL
	// PasswordFrom sets a connection's password to what a command prints.
	PasswordFrom = passwordFrom
)

// PollEvery sets how often watchers that come later look for changes of other processes.
func (s *Store) PollEvery(d time.Duration) { s.feed.every = d }
