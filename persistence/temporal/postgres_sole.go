package temporal

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// postgresClaim is an advisory lock on a connection of its own: the server frees it when its holder dies.
type postgresClaim struct {
	part *postgresPart
	conn *pgx.Conn
}

var _ claim = (*postgresClaim)(nil)

func (c *postgresClaim) take(ctx context.Context) error {
	if c.conn != nil {
		if err := c.conn.Ping(ctx); err == nil {
			return nil
		}
		_ = c.conn.Close(ctx) // it is broken already
		c.conn = nil
	}
	config, err := c.part.config()
	if err != nil {
		return err
	}
	if err := c.part.authenticate(ctx, config); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return explainPostgres(err)
	}
	var ours bool
	if err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", "meridian serves "+c.part.schema).Scan(&ours); err == nil && !ours {
		err = errTaken
	}
	if err != nil {
		_ = conn.Close(ctx) // nothing was written through it
		return err
	}
	c.conn = conn
	return nil
}

func (c *postgresClaim) release(ctx context.Context) {
	if c.conn != nil {
		_ = c.conn.Close(ctx) // the lock ends with it
	}
}
