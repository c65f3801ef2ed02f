// Package postgres is the engine "postgres": the readiness probe, databases and users, and logical replication links between
// two PostgreSQL servers. Each function is one bounded look or one idempotent step: it may be stopped anywhere and called again.
//
// It must never wait for the world to change (callers poll), write a password into SQL that a server logs, an argument or an
// error, delete or duplicate a row of a user's table, or touch an object that neither the spec nor a name of ours owns.
package postgres
