package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gocql/gocql"
	"go.temporal.io/server/common/auth"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/cassandra"
	"go.temporal.io/server/common/persistence/client"
	commongocql "go.temporal.io/server/common/persistence/nosql/nosqlplugin/cassandra/gocql"
	"go.temporal.io/server/common/persistence/serialization"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/temporal"
)

const (
	cassandraKeyspace = "temporal"
	cassandraPort     = 9042
	// cassandraConnect bounds one try to reach a node, and cassandraOpen one to open a session: the driver may hang in the latter
	// (gocql issue 1752).
	cassandraConnect = 5 * time.Second
	cassandraOpen    = 30 * time.Second
)

// nodes makes the driver's configuration of a cluster; keyspace may be empty.
type nodes interface {
	config(ctx context.Context, keyspace string) (*gocql.ClusterConfig, error)
	// probe fails where no node can be reached. The driver is not asked to open a session then: it may hang.
	probe(ctx context.Context) error
}

// cassandraPart keeps Temporal's workflows in a keyspace. All of the server's services share one session, which they may not close.
type cassandraPart struct {
	keyspace string
	where    string
	session  commongocql.Session
	refresh  *refresher
}

var (
	_ part                            = (*cassandraPart)(nil)
	_ client.AbstractDataStoreFactory = (*cassandraPart)(nil)
)

// openCassandraPart opens the session that the server works with.
func openCassandraPart(ctx context.Context, s *Settings, out *slog.Logger) (*cassandraPart, error) {
	t := targetsOf(s)[0].(*cassandraTarget)
	p := &cassandraPart{keyspace: t.keyspace, where: t.where(), refresh: &refresher{cluster: t.cluster, keyspace: t.keyspace}}
	type opened struct {
		session commongocql.Session
		err     error
	}
	done := make(chan opened, 1)
	go func() {
		s, err := commongocql.NewSession(p.refresh.config, newLogger(out, newFatal()), metrics.NoopMetricsHandler)
		done <- opened{s, err}
	}()
	timer := time.NewTimer(cassandraOpen)
	defer timer.Stop()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, fmt.Errorf("%s: %w", p.where, explainCassandra(o.err))
		}
		p.session = o.session
		return p, nil
	case <-timer.C:
		return nil, fmt.Errorf("%s: no session within %s: look at the cluster's nodes", p.where, cassandraOpen)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *cassandraPart) dataStore() config.DataStore {
	return config.DataStore{CustomDataStoreConfig: &config.CustomDatastoreConfig{Name: "cassandra", IndexName: p.keyspace}}
}

func (p *cassandraPart) options() []temporal.ServerOption {
	return []temporal.ServerOption{temporal.WithCustomDataStoreFactory(p)}
}

// NewFactory is called once by each of the server's services.
func (p *cassandraPart) NewFactory(
	_ config.CustomDatastoreConfig, _ resolver.ServiceResolver, name string, log log.Logger, _ metrics.Handler, s serialization.Serializer,
) persistence.DataStoreFactory {
	return cassandra.NewFactoryFromSession(config.Cassandra{Keyspace: p.keyspace}, name, log, kept{p.session}, s)
}

func (p *cassandraPart) close() {
	p.refresh.end()
	closeSoon(p.session.Close)
}

// closeLimit bounds the end of a session, which the driver may never come to (gocql issue 1752).
const closeLimit = 500 * time.Millisecond

func closeSoon(end func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		end()
	}()
	select {
	case <-done:
	case <-time.After(closeLimit):
	}
}

// kept is a session that its users cannot close.
type kept struct{ commongocql.Session }

// Close does nothing: the session is everybody's.
func (kept) Close() {}

// refresher gives the server's session its configuration anew whenever it has lost every node, at most so often: each try costs
// connections to all of them.
type refresher struct {
	cluster  nodes
	keyspace string

	mu    sync.Mutex
	wait  time.Duration
	next  time.Time
	given time.Time // when the last configuration was
	ended bool
}

// The pause between two tries to refresh doubles from the first to the last.
const refreshFirst, refreshLast = time.Second, 15 * time.Second

// refreshHeld is how long a configuration was good whose session came about.
const refreshHeld = time.Minute

var errAway = errors.New("the cluster is away: waiting before the next look")

func (r *refresher) config() (*gocql.ClusterConfig, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || time.Now().Before(r.next) {
		return nil, errAway
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*cassandraConnect)
	defer cancel()
	err := r.cluster.probe(ctx)
	if err == nil {
		var c *gocql.ClusterConfig
		if c, err = r.cluster.config(ctx, r.keyspace); err == nil {
			// Who answers may have no node behind it: a session that comes about is not asked for again soon, one that does not is.
			if time.Since(r.given) > refreshHeld {
				r.wait = 0
			}
			r.given = time.Now()
			r.pause()
			return c, nil
		}
	}
	r.pause()
	return nil, err
}

// pause doubles the time until the next try.
func (r *refresher) pause() {
	r.wait = min(max(2*r.wait, refreshFirst), refreshLast)
	r.next = time.Now().Add(r.wait)
}

func (r *refresher) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// driverLog is gocql's own log, which has no levels and says the same thousands of times in an outage.
type driverLog struct{ out *slog.Logger }

// Print writes at debug level.
func (l driverLog) Print(v ...any) { l.write(fmt.Sprint(v...)) }

// Printf writes at debug level.
func (l driverLog) Printf(format string, v ...any) { l.write(fmt.Sprintf(format, v...)) }

// Println writes at debug level.
func (l driverLog) Println(v ...any) { l.write(fmt.Sprintln(v...)) }

func (l driverLog) write(text string) {
	l.out.Debug("gocql", "says", strings.TrimSpace(text))
}

// plainCluster is a cluster that is reached by its nodes' addresses.
type plainCluster struct {
	settings *Cassandra

	mu    sync.Mutex
	local string // the local data centre, once found
}

var _ nodes = (*plainCluster)(nil)

func (c *plainCluster) config(ctx context.Context, keyspace string) (*gocql.ClusterConfig, error) {
	out, err := c.raw(ctx, c.settings.Hosts, keyspace)
	if err != nil {
		return nil, err
	}
	local, err := c.datacenter(ctx)
	if err != nil {
		return nil, err
	}
	out.HostFilter = gocql.DataCentreHostFilter(local)
	return out, nil
}

// raw is a configuration that knows no data centre.
func (c *plainCluster) raw(ctx context.Context, hosts []string, keyspace string) (*gocql.ClusterConfig, error) {
	s := c.settings
	t := config.Cassandra{
		Hosts: strings.Join(hosts, ","), Port: orElse(s.Port, cassandraPort), User: s.User, Keyspace: keyspace, ConnectTimeout: 2 * cassandraConnect,
		Consistency: &config.CassandraStoreConsistency{Default: &config.CassandraConsistencySettings{Consistency: s.consistency(), SerialConsistency: "LOCAL_SERIAL"}},
	}
	if s.Password != nil {
		password, err := s.Password.Read(ctx)
		if err != nil {
			return nil, err
		}
		t.Password = password
	}
	if s.TLS != nil {
		t.TLS = &auth.TLS{
			Enabled: true, EnableHostVerification: true, CaFile: s.TLS.CA, CertFile: s.TLS.Cert, KeyFile: s.TLS.Key, ServerName: s.TLS.ServerName,
		}
	}
	out := gocql.NewCluster(hosts...)
	if err := commongocql.ConfigureCassandraCluster(t, out); err != nil {
		return nil, fmt.Errorf("cassandra: %w", err)
	}
	return out, nil
}

func (c *Cassandra) consistency() string {
	if c.Consistency == "" {
		return "LOCAL_QUORUM"
	}
	return c.Consistency
}

// datacenter is the local data centre: the one of the settings, else that of the first host that answers.
func (c *plainCluster) datacenter(ctx context.Context) (string, error) {
	if c.settings.LocalDatacenter != "" {
		return c.settings.LocalDatacenter, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.local != "" {
		return c.local, nil
	}
	var last error
	for _, host := range c.settings.Hosts {
		s, err := c.only(ctx, host)
		if err == nil {
			err = s.Query("SELECT data_center FROM system.local").WithContext(ctx).Consistency(gocql.One).Scan(&c.local)
			closeSoon(s.Close)
			if err == nil {
				return c.local, nil
			}
		}
		last = err
	}
	return "", explainCassandra(last)
}

// only opens a session with one node and no other.
func (c *plainCluster) only(ctx context.Context, host string) (*gocql.Session, error) {
	config, err := c.raw(ctx, []string{host}, "")
	if err != nil {
		return nil, err
	}
	config.DisableInitialHostLookup = true
	config.NumConns = 1
	return openSession(ctx, config)
}

func (c *plainCluster) probe(ctx context.Context) error {
	var last error
	for _, host := range c.settings.Hosts {
		address := host
		if _, _, err := net.SplitHostPort(host); err != nil {
			address = net.JoinHostPort(host, strconv.Itoa(orElse(c.settings.Port, cassandraPort)))
		}
		dial := net.Dialer{Timeout: cassandraConnect}
		conn, err := dial.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return nil
		}
		last = err
	}
	return fmt.Errorf("no node of the cluster can be reached: are they running, and does the network let us through?: %w", last)
}

// openSession opens a session, or gives up: the driver may hang.
func openSession(ctx context.Context, c *gocql.ClusterConfig) (*gocql.Session, error) {
	type opened struct {
		session *gocql.Session
		err     error
	}
	done := make(chan opened, 1)
	go func() {
		s, err := c.CreateSession()
		done <- opened{s, err}
	}()
	timer := time.NewTimer(cassandraOpen)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.session, explainCassandra(o.err)
	case <-timer.C:
		return nil, fmt.Errorf("no session within %s: look at the cluster's nodes", cassandraOpen)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// explainCassandra says what a person can do about a cluster that does not let us in.
func explainCassandra(err error) error {
	if err == nil {
		return nil
	}
	var request gocql.RequestError
	text := err.Error()
	switch {
	case errors.As(err, &request) && request.Code() == gocql.ErrCodeCredentials, strings.Contains(text, "authentication"), strings.Contains(text, "Provided username"), strings.Contains(text, "AuthenticationException"):
		return fmt.Errorf("the cluster refuses this user: check the user, and where the password comes from: %w", err)
	case errors.As(err, &request) && request.Code() == gocql.ErrCodeUnauthorized:
		return fmt.Errorf("this user lacks a right: GRANT ALL PERMISSIONS ON KEYSPACE ... TO ...: %w", err)
	case strings.Contains(text, "certificate"), strings.Contains(text, "tls:"):
		return fmt.Errorf("TLS with the cluster: check tls.ca, tls.serverName and the certificate: %w", err)
	case errors.Is(err, gocql.ErrNoConnectionsStarted), errors.Is(err, gocql.ErrNoConnections), strings.Contains(text, "unable to dial control conn"):
		return fmt.Errorf("no node of the cluster lets us in: are they running, do hosts and port name them, does localDatacenter, and does the cluster ask for TLS?: %w", err)
	}
	return err
}

// identity names a data directory on its machine: the claim of a server that was killed is its successor's at once.
func identity(o Options) string {
	host, _ := os.Hostname() // else the directory alone
	return host + ":" + o.Dir
}

// datacenters counts the nodes of each data centre.
type datacenters map[string]int

func (d datacenters) String() string {
	var out []string
	for name, n := range d {
		out = append(out, fmt.Sprintf("%s with %d", name, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
