package temporal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gocql/gocql"
)

// makeRecordTable makes our own table beside Temporal's.
func makeRecordTable(ctx context.Context, s *gocql.Session) error {
	if err := s.Query("CREATE TABLE IF NOT EXISTS " + recordTable + " (name text PRIMARY KEY, value text)").WithContext(ctx).Exec(); err != nil {
		return fmt.Errorf("make table %s: %w", recordTable, explainCassandra(err))
	}
	if err := s.AwaitSchemaAgreement(ctx); err != nil {
		return fmt.Errorf("make table %s: %w", recordTable, err)
	}
	return nil
}

// lease is a row that ends by itself unless its holder renews it.
type lease struct {
	session *gocql.Session
	name    string
	holder  string
	life    time.Duration
}

// take takes the lease or renews it; errTaken where somebody else has it.
func (l *lease) take(ctx context.Context) error {
	seconds := int(l.life.Seconds())
	var name, holder string
	renewed, err := l.session.Query("UPDATE "+recordTable+" USING TTL ? SET value = ? WHERE name = ? IF value = ?", seconds, l.holder, l.name, l.holder).
		WithContext(ctx).SerialConsistency(gocql.LocalSerial).ScanCAS(&holder)
	if err != nil || renewed {
		return explainCassandra(err)
	}
	taken, err := l.session.Query("INSERT INTO "+recordTable+" (name, value) VALUES (?, ?) IF NOT EXISTS USING TTL ?", l.name, l.holder, seconds).
		WithContext(ctx).SerialConsistency(gocql.LocalSerial).ScanCAS(&name, &holder)
	switch {
	case err != nil:
		return explainCassandra(err)
	case !taken && holder != l.holder:
		return fmt.Errorf("%w (%s)", errTaken, holder)
	}
	return nil
}

func (l *lease) release(ctx context.Context) {
	var holder string
	// A lease that is not given back ends by itself.
	_, _ = l.session.Query("DELETE FROM "+recordTable+" WHERE name = ? IF value = ?", l.name, l.holder).
		WithContext(ctx).SerialConsistency(gocql.LocalSerial).ScanCAS(&holder)
}

// serverLease is how long a server that has lost its machine keeps another one waiting.
const serverLease = 30 * time.Second

// cassandraClaim is a lease that the data directory's server holds.
type cassandraClaim struct {
	nodes    nodes
	keyspace string
	who      string
	l        *lease
}

var _ claim = (*cassandraClaim)(nil)

// claim is a server's claim on the keyspace.
func (t *cassandraTarget) claim(o Options) claim {
	return &cassandraClaim{nodes: t.cluster, keyspace: t.keyspace, who: identity(o)}
}

func (c *cassandraClaim) take(ctx context.Context) error {
	if c.l == nil {
		config, err := c.nodes.config(ctx, c.keyspace)
		if err != nil {
			return err
		}
		config.NumConns = 1
		s, err := openSession(ctx, config)
		if err != nil {
			return err
		}
		c.l = &lease{session: s, name: "server", holder: c.who, life: serverLease}
	}
	err := c.l.take(ctx)
	if isNoTable(err) { // Temporal's own tool set the keyspace up
		if err = makeRecordTable(ctx, c.l.session); err == nil {
			err = c.l.take(ctx)
		}
	}
	if err != nil && !errors.Is(err, errTaken) {
		closeSoon(c.l.session.Close)
		c.l = nil
	}
	return err
}

func (c *cassandraClaim) release(ctx context.Context) {
	if c.l != nil {
		c.l.release(ctx)
		closeSoon(c.l.session.Close)
	}
}
