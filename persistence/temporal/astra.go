package temporal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	gocqlastra "github.com/datastax/gocql-astra"
	"github.com/gocql/gocql"
	"go.temporal.io/server/common/config"
	commongocql "go.temporal.io/server/common/persistence/nosql/nosqlplugin/cassandra/gocql"
)

// astraUser is the user name that goes with an application token.
const astraUser = "token"

// AstraSteps is what a person does to keep Temporal's workflows in Astra DB.
const AstraSteps = `Astra DB is experimental: it was never tried on the service.
1. Prerequisites: a database in one region, an application token, the region's secure connect bundle (portal: the database, Connect).
2. Pre-setup:     make the keyspace in the portal (Add Keyspace), for CQL may not; put bundle and token into files of mode 0600.
3. Schema:        meridian persistence setup --config FILE
4. Run:           meridian server --config FILE
5. Validate:      meridian persistence verify --config FILE, then a run of your own`

// astraCluster is an Astra DB database, reached through its secure connect bundle. No proxy process stands between.
type astraCluster struct{ settings *Astra }

var _ nodes = (*astraCluster)(nil)

func newAstraTarget(a *Astra) *cassandraTarget {
	t := &cassandraTarget{keyspace: a.Keyspace, name: "astra " + filepath.Base(a.Bundle), cluster: &astraCluster{a}}
	if t.keyspace == "" {
		t.keyspace = cassandraKeyspace
	}
	return t
}

// config makes a configuration with a dialer of its own: a dialer keeps what the metadata service said for as long as it lives.
func (c *astraCluster) config(ctx context.Context, keyspace string) (*gocql.ClusterConfig, error) {
	token, err := c.settings.Token.Read(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(token, "AstraCS:") {
		return nil, errors.New("astra's token does not begin with AstraCS: make an application token in the portal (the database, Connect)")
	}
	out, err := gocqlastra.NewClusterFromBundle(c.settings.Bundle, astraUser, token, 2*cassandraConnect)
	if err != nil {
		return nil, fmt.Errorf("secure connect bundle %s: download it again from the portal (the database, Connect, Drivers): %w", c.settings.Bundle, err)
	}
	dialer, translator, authenticator, pool := out.HostDialer, out.AddressTranslator, out.Authenticator, out.PoolConfig
	if err := commongocql.ConfigureCassandraCluster(config.Cassandra{Keyspace: keyspace, ConnectTimeout: 2 * cassandraConnect}, out); err != nil {
		return nil, fmt.Errorf("astra: %w", err)
	}
	out.HostDialer, out.AddressTranslator, out.Authenticator, out.PoolConfig = dialer, translator, authenticator, pool
	return out, nil
}

// probe asks the metadata service, and dials one of the nodes that it names.
func (c *astraCluster) probe(ctx context.Context) error {
	dialer, err := gocqlastra.NewDialerFromBundle(c.settings.Bundle, cassandraConnect)
	if err != nil {
		return fmt.Errorf("secure connect bundle %s: download it again from the portal (the database, Connect, Drivers): %w", c.settings.Bundle, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*cassandraConnect)
	defer cancel()
	host := (&gocql.HostInfo{}).SetConnectAddress(net.IPv4(0, 0, 0, 1))
	conn, err := dialer.DialHost(ctx, host)
	if err != nil {
		return fmt.Errorf("astra cannot be reached: is the database active (a free one is hibernated), is the bundle of this region, and does the network let us through?: %w", err)
	}
	_ = conn.Conn.SetDeadline(time.Now())
	_ = conn.Conn.Close()
	return nil
}
