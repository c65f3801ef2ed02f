package temporal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"
	cassandraschema "go.temporal.io/server/schema/cassandra"
)

// cassandraTarget is Temporal's schema in a keyspace.
type cassandraTarget struct {
	keyspace string
	name     string // of the cluster, for people
	cluster  nodes
	// plain is nil where the cluster is somebody's service (Astra): keyspaces are made in its portal, and its nodes are its own affair.
	plain *plainCluster
}

var _ target = (*cassandraTarget)(nil)

func newCassandraTarget(c *Cassandra) *cassandraTarget {
	plain := &plainCluster{settings: c}
	t := &cassandraTarget{keyspace: c.Keyspace, name: "cassandra " + strings.Join(c.Hosts, ","), cluster: plain, plain: plain}
	if t.keyspace == "" {
		t.keyspace = cassandraKeyspace
	}
	return t
}

func (t *cassandraTarget) what() string    { return "state" }
func (t *cassandraTarget) where() string   { return t.name + " (keyspace " + t.keyspace + ")" }
func (t *cassandraTarget) assets() string  { return "cassandra/temporal" }
func (t *cassandraTarget) version() string { return cassandraschema.Version }

// oldestCassandra is the first major version that Temporal's schema is known to work with.
const oldestCassandra = 4

func (t *cassandraTarget) open(ctx context.Context) (_ schemaDB, err error) {
	if err := t.cluster.probe(ctx); err != nil {
		return nil, err
	}
	s := &cassandraSchema{target: t}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	c, err := t.cluster.config(ctx, "")
	if err != nil {
		return nil, err
	}
	if s.admin, err = openSession(ctx, c); err != nil {
		return nil, err
	}
	before := time.Now()
	var release string
	var now time.Time
	if err := s.admin.Query("SELECT release_version, toTimestamp(now()) FROM system.local").WithContext(ctx).Scan(&release, &now); err != nil {
		return nil, explainCassandra(err)
	}
	if err := checkClocks(before, now, time.Now()); err != nil {
		return nil, err
	}
	major, _, _ := strings.Cut(release, ".")
	if n, err := strconv.Atoi(major); err == nil && n < oldestCassandra {
		return nil, fmt.Errorf("cassandra %s is too old: want %d.0 or newer", release, oldestCassandra)
	}
	there, err := s.exists(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case there:
		if err := s.checkReplication(ctx); err != nil {
			return nil, err
		}
		return s, s.enter(ctx)
	case t.plain == nil:
		return nil, fmt.Errorf("keyspace %s does not exist, or this token may not see it: make it in the portal (the database, Add Keyspace), for CQL may not", t.keyspace)
	}
	return s, s.checkWish(ctx)
}

// cassandraSchema works on the tables of one keyspace.
type cassandraSchema struct {
	target *cassandraTarget
	admin  *gocql.Session // in no keyspace
	inside *gocql.Session // in the keyspace, once it is there
}

var _ schemaDB = (*cassandraSchema)(nil)

// enter opens a session in the keyspace.
func (s *cassandraSchema) enter(ctx context.Context) error {
	c, err := s.target.cluster.config(ctx, s.target.keyspace)
	if err != nil {
		return err
	}
	c.Timeout = time.Minute // of a statement that changes the schema
	s.inside, err = openSession(ctx, c)
	return err
}

func (s *cassandraSchema) exists(ctx context.Context) (bool, error) {
	var name string
	err := s.admin.Query("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?", s.target.keyspace).WithContext(ctx).Scan(&name)
	if errors.Is(err, gocql.ErrNotFound) {
		return false, nil
	}
	return err == nil, explainCassandra(err)
}

func (s *cassandraSchema) make(ctx context.Context) error {
	if s.inside != nil {
		return nil
	}
	nodes, local, err := s.topology(ctx)
	if err != nil {
		return err
	}
	var copies []string
	for dc, n := range s.wish(nodes, local) {
		copies = append(copies, fmt.Sprintf("'%s': %d", strings.ReplaceAll(dc, "'", "''"), n))
	}
	slices.Sort(copies)
	text := fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = {'class': 'NetworkTopologyStrategy', %s}", s.target.keyspace, strings.Join(copies, ", "))
	if err := s.admin.Query(text).WithContext(ctx).Exec(); err != nil {
		return fmt.Errorf("make keyspace %s: %w", s.target.keyspace, explainCassandra(err))
	}
	if err := s.admin.AwaitSchemaAgreement(ctx); err != nil {
		return fmt.Errorf("make keyspace %s: %w", s.target.keyspace, err)
	}
	return s.enter(ctx)
}

func (s *cassandraSchema) tables(ctx context.Context) (out []string, err error) {
	iter := s.admin.Query("SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", s.target.keyspace).WithContext(ctx).Iter()
	var name string
	for iter.Scan(&name) {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, iter.Close()
}

func (s *cassandraSchema) version(ctx context.Context) (version, oldest string, err error) {
	err = s.inside.Query("SELECT curr_version, min_compatible_version FROM schema_version WHERE keyspace_name = ?", s.target.keyspace).WithContext(ctx).Scan(&version, &oldest)
	if errors.Is(err, gocql.ErrNotFound) {
		return "", "", nil
	}
	return version, oldest, err
}

func (s *cassandraSchema) checksum(ctx context.Context) (sum string, err error) {
	err = s.inside.Query("SELECT value FROM " + recordTable + " WHERE name = 'checksum'").WithContext(ctx).Scan(&sum)
	if errors.Is(err, gocql.ErrNotFound) || isNoTable(err) {
		return "", nil
	}
	return sum, err
}

func (s *cassandraSchema) record(ctx context.Context, version, checksum string) error {
	for name, value := range map[string]string{"version": version, "checksum": checksum} {
		if err := s.inside.Query("INSERT INTO "+recordTable+" (name, value) VALUES (?, ?)", name, value).WithContext(ctx).Exec(); err != nil {
			return err
		}
	}
	return nil
}

// setUpLease is how long a process that set up and died keeps others waiting.
const setUpLease = 30 * time.Second

// lock is a lease in our own table, renewed while it is held.
func (s *cassandraSchema) lock(ctx context.Context) (unlock func(), err error) {
	if err := makeRecordTable(ctx, s.inside); err != nil {
		return nil, err
	}
	l := &lease{session: s.inside, name: "set-up", holder: newKey().bearer()[len("Bearer "):], life: setUpLease}
	deadline := time.Now().Add(lockWait)
	tick := time.NewTicker(soleLook)
	defer tick.Stop()
	for {
		err := l.take(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errTaken) || time.Now().After(deadline) {
			return nil, fmt.Errorf("another process changes the schema: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(setUpLease / 6)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-tick.C:
				_ = l.take(renewing) // the next tick tries again
			}
		}
	}()
	return func() {
		stop()
		<-done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cassandraConnect)
		defer cancel()
		l.release(ctx)
	}, nil
}

// safe wants every node up and of one schema: a change that a node does not hear of leaves the driver waiting, and the schema in two versions.
func (s *cassandraSchema) safe(ctx context.Context) error {
	plain := s.target.plain
	if plain == nil {
		return nil
	}
	var peer, address net.IP
	iter := s.admin.Query("SELECT peer, rpc_address FROM system.peers").WithContext(ctx).Iter()
	var peers []string
	for iter.Scan(&peer, &address) {
		if address == nil { // one that went before it said where it answers
			address = peer
		}
		peers = append(peers, address.String())
		address = nil
	}
	if err := iter.Close(); err != nil {
		return explainCassandra(err)
	}
	for _, peer := range peers {
		look, cancel := context.WithTimeout(ctx, 2*cassandraConnect)
		node, err := plain.only(look, peer)
		if err == nil {
			var version gocql.UUID
			err = node.Query("SELECT schema_version FROM system.local").WithContext(look).Consistency(gocql.One).Scan(&version)
			closeSoon(node.Close)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("node %s does not answer, and the schema may change only while all do: start it, or remove it from the cluster (nodetool removenode): %w", peer, err)
		}
	}
	agree, cancel := context.WithTimeout(ctx, 2*cassandraConnect)
	defer cancel()
	if err := s.admin.AwaitSchemaAgreement(agree); err != nil {
		return fmt.Errorf("the nodes do not agree on the schema: nodetool describecluster says which; restart those that are behind: %w", err)
	}
	return nil
}

// CreateSchemaVersionTables makes the tables in which Temporal keeps its version.
func (s *cassandraSchema) CreateSchemaVersionTables() error {
	for _, text := range []string{
		"CREATE TABLE IF NOT EXISTS schema_version (keyspace_name text PRIMARY KEY, creation_time timestamp, curr_version text, min_compatible_version text)",
		"CREATE TABLE IF NOT EXISTS schema_update_history (year int, month int, update_time timestamp, description text, manifest_md5 text, new_version text, old_version text, PRIMARY KEY ((year, month), update_time))",
	} {
		if err := s.Exec(text); err != nil {
			return err
		}
	}
	return nil
}

// ReadSchemaVersion is the recorded version.
func (s *cassandraSchema) ReadSchemaVersion() (string, error) {
	version, _, err := s.version(context.Background())
	if err == nil && version == "" {
		err = gocql.ErrNotFound
	}
	return version, err
}

// UpdateSchemaVersion records a version.
func (s *cassandraSchema) UpdateSchemaVersion(version, oldest string) error {
	return s.inside.Query("INSERT INTO schema_version (keyspace_name, creation_time, curr_version, min_compatible_version) VALUES (?, ?, ?, ?)",
		s.target.keyspace, time.Now().UTC(), version, oldest).Exec()
}

// WriteSchemaUpdateLog records a step between versions.
func (s *cassandraSchema) WriteSchemaUpdateLog(from, to, md5, description string) error {
	now := time.Now().UTC()
	return s.inside.Query("INSERT INTO schema_update_history (year, month, update_time, old_version, new_version, manifest_md5, description) VALUES (?, ?, ?, ?, ?, ?, ?)",
		now.Year(), int(now.Month()), now, from, to, md5, description).Exec()
}

// Exec runs one statement and waits until all nodes agree. What was cut short is run again from its start, so that what it made is
// there already, and what it dropped is gone.
func (s *cassandraSchema) Exec(text string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	words := strings.ToUpper(strings.TrimSpace(text))
	err := s.inside.Query(text, args...).WithContext(ctx).Exec()
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "already exist"):
		return nil
	case strings.HasPrefix(words, "DROP ") && strings.Contains(err.Error(), "doesn't exist"):
		return nil
	case s.target.plain == nil && strings.HasPrefix(words, "CREATE INDEX ") && isInvalid(err):
		// A service allows few of them. They serve the look-up of the members of a ring of servers, which does not exist here.
		return nil
	default:
		return err
	}
	return s.inside.AwaitSchemaAgreement(ctx)
}

// DropAllTables is refused: nothing here drops what it did not make.
func (s *cassandraSchema) DropAllTables() error { return errors.ErrUnsupported }

// Close ends the sessions.
func (s *cassandraSchema) Close() {
	for _, session := range []*gocql.Session{s.admin, s.inside} {
		if session != nil {
			closeSoon(session.Close)
		}
	}
}

// Type is the kind of the database.
func (s *cassandraSchema) Type() string { return "cassandra" }

func isInvalid(err error) bool {
	var e gocql.RequestError
	return errors.As(err, &e) && e.Code() == gocql.ErrCodeInvalid
}

// isNoTable reports whether a table does not exist.
func isNoTable(err error) bool {
	return isInvalid(err) && (strings.Contains(err.Error(), "unconfigured table") || strings.Contains(err.Error(), "does not exist"))
}
