package temporal

import (
	"fmt"
	"regexp"
	"strings"
)

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
