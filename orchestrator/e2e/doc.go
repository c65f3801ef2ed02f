// Package e2e holds the stories: tests that run whole Meridians with a real Temporal, the real terraform and real PostgreSQL servers,
// and look at the world (processes, directories, slots, rows) instead of at calls. There is nothing but tests in it.
package e2e
