package temporal

import (
	"maps"
	"strings"
	"testing"
)

// TestAdvice says of each setting of a PostgreSQL that could hurt what to do, and of none where nothing does.
func TestAdvice(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*postgresFacts) {
		return func(f *postgresFacts) { f.settings[name] = value }
	}
	rows, workflows := demand{conns: rowsConns, rows: true}, demand{conns: 100, workflows: true}
	for name, test := range map[string]struct {
		change      func(*postgresFacts)
		of          demand
		state, want string
	}{
		"a fresh server":              {func(*postgresFacts) {}, rows, FindingOK, ""},
		"too old":                     {func(f *postgresFacts) { f.number = 120004 }, rows, FindingFail, "13 or newer"},
		"another encoding":            {func(f *postgresFacts) { f.encoding = "LATIN1" }, rows, FindingFail, "ENCODING 'UTF8'"},
		"a replica":                   {func(f *postgresFacts) { f.replica = true }, rows, FindingFail, "name the primary"},
		"a collation that moved on":   {func(f *postgresFacts) { f.collationChanged = true }, rows, FindingWarn, `REINDEX DATABASE "m"`},
		"a pooler":                    {func(f *postgresFacts) { f.pooled = true }, rows, FindingFail, "name the server itself"},
		"in clear":                    {func(f *postgresFacts) { f.loopback = false }, rows, FindingWarn, "sslmode=verify-full"},
		"encrypted":                   {func(f *postgresFacts) { f.loopback, f.encrypted = false, true }, rows, FindingOK, ""},
		"few connections":             {set("max_connections", "60"), workflows, FindingWarn, "raise max_connections to"},
		"enough for the rows":         {set("max_connections", "60"), rows, FindingOK, ""},
		"others have them":            {func(f *postgresFacts) { f.connections = 190 }, rows, FindingWarn, "raise max_connections"},
		"our own do not count":        {func(f *postgresFacts) { f.connections, f.ours = 190, 190 }, rows, FindingOK, ""},
		"a limit of the user":         {func(f *postgresFacts) { f.ofRole = 30 }, workflows, FindingWarn, "raise the user's CONNECTION LIMIT"},
		"a limit of the database":     {func(f *postgresFacts) { f.ofDatabase = 30 }, workflows, FindingWarn, "raise the database's CONNECTION LIMIT"},
		"forgetful, with rows":        {set("synchronous_commit", "off"), rows, FindingFail, "synchronous_commit = on"},
		"forgetful, with workflows":   {set("synchronous_commit", "off"), workflows, FindingOK, ""},
		"no fsync":                    {set("fsync", "off"), workflows, FindingWarn, "postgresql.conf"},
		"short statements":            {set("statement_timeout", "5000"), rows, FindingWarn, "statement_timeout = 0"},
		"long statements":             {set("statement_timeout", "3600000"), rows, FindingOK, ""},
		"short locks":                 {set("lock_timeout", "100"), rows, FindingWarn, "lock_timeout = 0"},
		"short sessions":              {set("idle_session_timeout", "1000"), rows, FindingWarn, "idle_session_timeout = 0"},
		"short pauses":                {set("idle_in_transaction_session_timeout", "500"), rows, FindingWarn, "idle_in_transaction_session_timeout = 0"},
		"short transactions":          {set("transaction_timeout", "500"), rows, FindingWarn, "transaction_timeout = 0"},
		"read only":                   {set("default_transaction_read_only", "on"), rows, FindingFail, "default_transaction_read_only = off"},
		"serializable by default":     {set("default_transaction_isolation", "serializable"), workflows, FindingWarn, "read committed"},
		"serializable, rows ask it":   {set("default_transaction_isolation", "serializable"), rows, FindingOK, ""},
		"reserved for others, enough": {set("reserved_connections", "10"), rows, FindingOK, ""},
		"reserved for others":         {set("reserved_connections", "110"), workflows, FindingWarn, "raise max_connections"},
	} {
		t.Run(name, func(t *testing.T) {
			f := postgresFacts{
				version: "15.18", number: 150018, database: "m", encoding: "UTF8", collation: "C", ofDatabase: -1, ofRole: -1, loopback: true,
				settings: map[string]string{
					"max_connections": "200", "superuser_reserved_connections": "3", "synchronous_commit": "on", "fsync": "on", "full_page_writes": "on", "statement_timeout": "0",
					"lock_timeout": "0", "idle_session_timeout": "0", "idle_in_transaction_session_timeout": "0", "default_transaction_read_only": "off", "default_transaction_isolation": "read committed",
				},
			}
			test.change(&f)
			worst, next := FindingOK, ""
			for _, found := range f.advise(test.of) {
				if found.State == FindingOK {
					continue
				}
				if worst != FindingFail {
					worst = found.State
				}
				next += found.Next + "\n"
			}
			if worst != test.state || !strings.Contains(next, test.want) || test.want == "" && next != "" {
				t.Errorf("%s, next %q: want %s and %q", worst, next, test.state, test.want)
			}
		})
	}
}

// TestDemands adds up what one server is asked for, and keeps two apart.
func TestDemands(t *testing.T) {
	t.Parallel()
	one, same, other := "postgres://m@a:5432/d?sslmode=disable", "postgres://m@a/d", "postgres://m@b/d"
	for name, test := range map[string]struct {
		rows     *Postgres
		settings Settings
		want     map[string]demand
	}{
		"nothing":        {nil, Settings{}, map[string]demand{}},
		"rows alone":     {&Postgres{URL: one}, Settings{}, map[string]demand{one: {conns: 20, rows: true}}},
		"all on one":     {&Postgres{URL: one}, Settings{Postgres: &Postgres{URL: same, MaxConns: 3}}, map[string]demand{one: {conns: 50, rows: true, workflows: true}}},
		"workflows":      {nil, Settings{Postgres: &Postgres{URL: one}}, map[string]demand{one: {conns: 100, workflows: true}}},
		"two":            {&Postgres{URL: one}, Settings{Visibility: &Visibility{Postgres: &Postgres{URL: other}}}, map[string]demand{one: {conns: 20, rows: true}, other: {conns: 50, workflows: true}}},
		"lists and rows": {&Postgres{URL: one}, Settings{Visibility: &Visibility{Postgres: &Postgres{URL: one, MaxConns: 2}}}, map[string]demand{one: {conns: 30, rows: true, workflows: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]demand{}
			for _, d := range demands(test.rows, &test.settings) {
				got[d.settings.URL] = demand{conns: d.conns, rows: d.rows, workflows: d.workflows}
			}
			if !maps.Equal(got, test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}
