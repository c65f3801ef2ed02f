package temporal

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
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

// Check says what is wrong with the settings, without looking at anything but them.
func (s *Settings) Check() []Fault {
	var out []Fault
	wrong := func(field, format string, args ...any) {
		out = append(out, Fault{strings.TrimSuffix("temporal."+field, "."), fmt.Sprintf(format, args...)})
	}
	if s.External != nil {
		s.checkExternal(wrong)
		return out
	}
	store := s.store()
	switch store {
	case StoreSQLite, StorePostgres, StoreCassandra, StoreAstra:
	default:
		wrong("store", "unknown store %q: want sqlite, postgres, cassandra or astra", s.Store)
		return out
	}
	for name, given := range map[string]bool{StorePostgres: s.Postgres != nil, StoreCassandra: s.Cassandra != nil, StoreAstra: s.Astra != nil} {
		switch {
		case given && name != store:
			wrong(name, "it is given, but temporal.store is %s: set store to %s, or remove this", store, name)
		case !given && name == store:
			wrong("store", "store %s wants temporal.%s to say where it is", store, name)
		}
	}
	if s.Postgres != nil {
		s.Postgres.check("postgres.", wrong)
	}
	if s.Cassandra != nil {
		s.Cassandra.check(wrong)
	}
	if s.Astra != nil {
		s.Astra.check(wrong)
	}
	if v := s.Visibility; v != nil {
		v.check(store, wrong)
	}
	if s.Shards < 0 || s.Shards > 16384 {
		wrong("shards", "want 1 to 16384, got %d", s.Shards)
	}
	if store == StoreSQLite && s.Shards > 1 {
		wrong("shards", "SQLite has one shard: one writer is all it carries")
	}
	return out
}

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

type wrongFunc func(field, format string, args ...any)

func (s *Settings) checkExternal(wrong wrongFunc) {
	if s.Store != "" || s.Postgres != nil || s.Cassandra != nil || s.Astra != nil || s.Visibility != nil || s.Shards != 0 {
		wrong("external", "an external server has a store of its own: remove store, postgres, cassandra, astra, visibility and shards")
	}
	e := s.External
	if e.Address == "" || !strings.Contains(e.Address, ":") {
		wrong("external.address", "want HOST:PORT of the frontend")
	}
	if e.Namespace == "" {
		wrong("external.namespace", "want the name of a namespace that is there")
	}
	if e.APIKey != nil {
		e.APIKey.check("external.apiKey", wrong)
		if e.TLS == nil {
			wrong("external.apiKey", "a key is shown over TLS alone: add tls: {}")
		}
	}
	if e.TLS != nil {
		e.TLS.check("external.tls", wrong)
	}
}

func (p *Postgres) check(field string, wrong wrongFunc) {
	if err := checkURL(p.URL); err != nil {
		wrong(field+"url", "%v", err)
	}
	if p.Password != nil {
		p.Password.check(field+"password", wrong)
	}
	if p.Schema != "" && !plainName(p.Schema) {
		wrong(field+"schema", "want a name of letters, digits and underscores")
	}
	if p.MaxConns < 0 {
		wrong(field+"maxConns", "want a number above 0")
	}
	if p.MaxConnLifetime < 0 {
		wrong(field+"maxConnLifetime", "want a duration above 0")
	}
}

func (c *Cassandra) check(wrong wrongFunc) {
	if len(c.Hosts) == 0 {
		wrong("cassandra.hosts", "want the address of at least one node")
	}
	if c.Keyspace != "" && !plainName(c.Keyspace) {
		wrong("cassandra.keyspace", "want a name of letters, digits and underscores")
	}
	if (c.User == "") != (c.Password == nil) {
		wrong("cassandra.user", "user and password go together")
	}
	if c.Password != nil {
		c.Password.check("cassandra.password", wrong)
	}
	if _, ok := consistencies[c.Consistency]; !ok {
		wrong("cassandra.consistency", "want LOCAL_QUORUM, QUORUM or EACH_QUORUM: Temporal loses work with less")
	}
	for dc, n := range c.Replication {
		if dc == "" || n < 1 {
			wrong("cassandra.replication", "want a number of copies above 0 for each data centre, like {dc1: 3}")
		}
	}
	if c.TLS != nil {
		c.TLS.check("cassandra.tls", wrong)
	}
}

// consistencies are the levels that Temporal is safe with.
var consistencies = map[string]bool{"": true, "LOCAL_QUORUM": true, "QUORUM": true, "EACH_QUORUM": true}

func (a *Astra) check(wrong wrongFunc) {
	if a.Bundle == "" {
		wrong("astra.bundle", "want the file of the secure connect bundle (portal: the database, Connect, Drivers)")
	}
	if a.Token == nil {
		wrong("astra.token", "want where the application token comes from, like {file: PATH}")
	} else {
		a.Token.check("astra.token", wrong)
	}
	if a.Keyspace != "" && !plainName(a.Keyspace) {
		wrong("astra.keyspace", "want a name of letters, digits and underscores")
	}
}

func (v *Visibility) check(store string, wrong wrongFunc) {
	given := 0
	for _, is := range []bool{v.Postgres != nil, v.SQLite != nil, v.Elasticsearch != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		wrong("visibility", "want one of postgres, sqlite and elasticsearch")
	}
	if store == StoreSQLite {
		wrong("visibility", "SQLite holds Temporal's lists itself")
	}
	if v.Postgres != nil {
		v.Postgres.check("visibility.postgres.", wrong)
	}
	if e := v.Elasticsearch; e != nil {
		if !strings.HasPrefix(e.URL, "http://") && !strings.HasPrefix(e.URL, "https://") {
			wrong("visibility.elasticsearch.url", "want http://HOST:PORT or https://HOST:PORT")
		}
		if e.Password != nil {
			e.Password.check("visibility.elasticsearch.password", wrong)
		}
		if e.TLS != nil {
			e.TLS.check("visibility.elasticsearch.tls", wrong)
		}
		if e.Index != "" && !indexName.MatchString(e.Index) {
			wrong("visibility.elasticsearch.index", "want a name of small letters, digits, dots, hyphens and underscores")
		}
	}
}

func (t *TLS) check(field string, wrong wrongFunc) {
	if (t.Cert == "") != (t.Key == "") {
		wrong(field, "cert and key go together")
	}
}

// indexName is what may be the name of an index.
var indexName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,199}$`)

func plainName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return len(s) <= 48
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
