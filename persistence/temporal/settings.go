package temporal

import (
	"errors"
	"path/filepath"
	"time"
)

// The stores that the server of this process can keep its state in.
const (
	StoreSQLite    = "sqlite"
	StorePostgres  = "postgres"
	StoreCassandra = "cassandra"
	StoreAstra     = "astra"
)

// Settings say where the server of this process keeps its state, or which Temporal server of somebody else is used instead. The zero
// value is SQLite in the data directory. Secrets are references (Secret), never values.
type Settings struct {
	// Store is sqlite (the default), postgres, cassandra or astra.
	Store string `yaml:"store,omitempty"`
	// Postgres is where Temporal's state is with store postgres.
	Postgres *Postgres `yaml:"postgres,omitempty"`
	// Cassandra is where Temporal's state is with store cassandra.
	Cassandra *Cassandra `yaml:"cassandra,omitempty"`
	// Astra is where Temporal's state is with store astra; experimental.
	Astra *Astra `yaml:"astra,omitempty"`
	// Visibility is where Temporal's lists of workflows are. With postgres that is the same database unless said; cassandra and astra
	// cannot hold them, and use SQLite in the data directory unless said.
	Visibility *Visibility `yaml:"visibility,omitempty"`
	// Shards is the number of Temporal's history shards: 1 with SQLite, 16 with PostgreSQL, 512 with Cassandra and Astra. It is fixed
	// when the store is set up.
	Shards int `yaml:"shards,omitempty"`
	// External is a Temporal server that somebody else runs; it excludes all of the above.
	External *External `yaml:"external,omitempty"`
	// Encrypt seals what workflows and activities are given and return, and their failures, with the installation's keyring. It is on
	// for an external server unless said, and off for one of our own.
	Encrypt *bool `yaml:"encrypt,omitempty"`
}

// Postgres says how a PostgreSQL database is reached.
type Postgres struct {
	// URL is postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE, without a password.
	URL string `yaml:"url"`
	// Password is where the password comes from; without it, the file that PGPASSFILE names.
	Password *Secret `yaml:"password,omitempty"`
	// Schema holds Temporal's tables; "temporal" unless said, "temporal_visibility" for its lists.
	Schema string `yaml:"schema,omitempty"`
	// MaxConns bounds the connections of each of Temporal's pools; 10 unless said.
	MaxConns int `yaml:"maxConns,omitempty"`
	// MaxConnLifetime is when a connection is replaced: shorter than the life of the tokens that a password command prints. 30m unless said.
	MaxConnLifetime Duration `yaml:"maxConnLifetime,omitempty"`
}

// Cassandra says how a Cassandra cluster is reached.
type Cassandra struct {
	// Hosts are addresses of some of its nodes; the driver finds the others.
	Hosts []string `yaml:"hosts"`
	// Port of CQL, 9042 unless said.
	Port int `yaml:"port,omitempty"`
	// Keyspace holds Temporal's tables; "temporal" unless said.
	Keyspace string `yaml:"keyspace,omitempty"`
	// User and Password, where the cluster asks for them.
	User     string  `yaml:"user,omitempty"`
	Password *Secret `yaml:"password,omitempty"`
	// LocalDatacenter is the data centre whose nodes are asked; found from the first host unless said.
	LocalDatacenter string `yaml:"localDatacenter,omitempty"`
	// Replication is the number of copies in each data centre, for the keyspace that setup makes: {dc1: 3}.
	Replication map[string]int `yaml:"replication,omitempty"`
	// Consistency of reads and writes: LOCAL_QUORUM unless said; QUORUM and EACH_QUORUM wait for other data centres.
	Consistency string `yaml:"consistency,omitempty"`
	// TLS, where the cluster wants it.
	TLS *TLS `yaml:"tls,omitempty"`
}

// Astra says how an Astra DB database is reached.
type Astra struct {
	// Bundle is the file of the secure connect bundle of the database's region.
	Bundle string `yaml:"bundle"`
	// Token is the application token (AstraCS:...).
	Token *Secret `yaml:"token"`
	// Keyspace holds Temporal's tables; made in the portal, because CQL may not. "temporal" unless said.
	Keyspace string `yaml:"keyspace,omitempty"`
}

// Visibility says where Temporal's lists of workflows are: one of its fields.
type Visibility struct {
	// Postgres is a PostgreSQL database.
	Postgres *Postgres `yaml:"postgres,omitempty"`
	// SQLite is a file in the data directory.
	SQLite *struct{} `yaml:"sqlite,omitempty"`
	// Elasticsearch is an Elasticsearch or OpenSearch cluster.
	Elasticsearch *Elasticsearch `yaml:"elasticsearch,omitempty"`
}

// Elasticsearch says how an Elasticsearch 7 or 8 or an OpenSearch 2 cluster is reached.
type Elasticsearch struct {
	// URL is http://HOST:PORT or https://HOST:PORT.
	URL  string `yaml:"url"`
	User string `yaml:"user,omitempty"`
	// Password is read once, at the start.
	Password *Secret `yaml:"password,omitempty"`
	// TLS checks an https URL by other authorities than the machine's, and shows a certificate of ours.
	TLS *TLS `yaml:"tls,omitempty"`
	// Index holds the lists; temporal_visibility_v1 unless said. It is made where it is missing.
	Index string `yaml:"index,omitempty"`
}

// External is a Temporal server, a cluster or Temporal Cloud, that somebody else runs.
type External struct {
	// Address is HOST:PORT of its frontend.
	Address string `yaml:"address"`
	// Namespace is Temporal's namespace there. It has to exist.
	Namespace string `yaml:"namespace"`
	// TLS is how the frontend is asked; an empty one checks it by the machine's authorities.
	TLS *TLS `yaml:"tls,omitempty"`
	// APIKey is shown to the frontend, over TLS.
	APIKey *Secret `yaml:"apiKey,omitempty"`
}

// TLS names files of certificates.
type TLS struct {
	// CA is the file of the authorities that the server's certificate is checked by; the machine's own unless said.
	CA string `yaml:"ca,omitempty"`
	// Cert and Key are the files of our own certificate, where the server asks for one.
	Cert string `yaml:"cert,omitempty"`
	Key  string `yaml:"key,omitempty"`
	// ServerName is the name in the server's certificate, where it is not the address's.
	ServerName string `yaml:"serverName,omitempty"`
}

// Duration is a time.Duration that is written like 30m.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("want a duration like 30s or 5m")
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Fault is one thing that is wrong with settings; Field says where, like temporal.postgres.url.
type Fault struct {
	Field string
	What  string
}

// Error says what is wrong, and where.
func (f Fault) Error() string { return f.Field + ": " + f.What }

func (s *Settings) store() string {
	if s.Store == "" {
		return StoreSQLite
	}
	return s.Store
}

// Encrypted reports whether payloads are sealed.
func (s *Settings) Encrypted() bool {
	if s.Encrypt != nil {
		return *s.Encrypt
	}
	return s.External != nil
}

// RelativeTo makes each relative path of a file one below dir.
func (s *Settings) RelativeTo(dir string) {
	for _, p := range []*Postgres{s.Postgres, s.listsIn()} {
		if p != nil {
			p.Password.RelativeTo(dir)
		}
	}
	if c := s.Cassandra; c != nil {
		c.Password.RelativeTo(dir)
		c.TLS.relativeTo(dir)
	}
	if a := s.Astra; a != nil {
		a.Token.RelativeTo(dir)
		below(dir, &a.Bundle)
	}
	if s.Visibility != nil && s.Visibility.Elasticsearch != nil {
		s.Visibility.Elasticsearch.Password.RelativeTo(dir)
		s.Visibility.Elasticsearch.TLS.relativeTo(dir)
	}
	if e := s.External; e != nil {
		e.APIKey.RelativeTo(dir)
		e.TLS.relativeTo(dir)
	}
}

func (s *Settings) listsIn() *Postgres {
	if s.Visibility == nil {
		return nil
	}
	return s.Visibility.Postgres
}

// RelativeTo makes a relative path of a file one below dir.
func (s *Secret) RelativeTo(dir string) {
	if s != nil {
		below(dir, &s.File)
	}
}

func (t *TLS) relativeTo(dir string) {
	if t != nil {
		below(dir, &t.CA)
		below(dir, &t.Cert)
		below(dir, &t.Key)
	}
}

func below(dir string, path *string) {
	if *path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(dir, *path)
	}
}
