package orchestrator

import (
	"context"

	"meridian/stacks"
)

// Client is what every surface talks to: each command is one transaction on rows, then an idempotent wake.
// Errors are *Problem where a person can act on them.
type Client struct{}

// Submit validates, defaults, compares with what is there, stores and wakes.
func (c *Client) Submit(ctx context.Context, in SubmitRequest) (SubmitResult, error) { panic("todo") }

// Destroy submits a destroy run, unless the database is protected.
func (c *Client) Destroy(ctx context.Context, namespace, name, actor string) (RunView, error) {
	panic("todo")
}

// Approve says yes to exactly this plan digest.
func (c *Client) Approve(ctx context.Context, run, digest, actor string) (RunView, error) {
	panic("todo")
}

// Cancel asks a run to stop.
func (c *Client) Cancel(ctx context.Context, run, actor string) (RunView, error) { panic("todo") }

// Run reads a run with live progress.
func (c *Client) Run(ctx context.Context, run string) (RunView, error) { panic("todo") }

// Runs lists runs of a database (name "" for all), newest first, without changes and progress.
func (c *Client) Runs(ctx context.Context, namespace, name string, limit int) ([]RunView, error) {
	panic("todo")
}

// WatchRun sends the run at once and then whenever it may have changed, at most every 100 ms, until it has ended or ctx ends; then the channel is closed.
func (c *Client) WatchRun(ctx context.Context, run string) (<-chan RunView, error) { panic("todo") }

// Logs lists a run's log lines with a sequence above after.
func (c *Client) Logs(ctx context.Context, run string, after int64, limit int) ([]LogLine, error) {
	panic("todo")
}

// Databases lists databases of a namespace ("" for all).
func (c *Client) Databases(ctx context.Context, namespace string) ([]DatabaseView, error) {
	panic("todo")
}

// Database describes one database, with its spec and audit.
func (c *Client) Database(ctx context.Context, namespace, name string) (DatabaseView, error) {
	panic("todo")
}

// Connect says how to connect; revealing a password is audited.
func (c *Client) Connect(ctx context.Context, in ConnectRequest) (ConnectView, error) { panic("todo") }

// Render returns the stacks that the documents' regions would have, with placeholder placements where there are none; it stores nothing.
func (c *Client) Render(ctx context.Context, in SubmitRequest) ([]stacks.Stack, error) { panic("todo") }
