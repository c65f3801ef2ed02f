package temporal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gocql/gocql"

	"meridian/persistence/temporal/astratest"
	"meridian/persistence/temporal/tlstest"
)

// lookalike is Astra's, whose limits are looked at.
type lookalike struct{ *astratest.Lookalike }

// TestAstraLookalike runs workflows on the look-alike, set up through it by an ordinary role, over a kill of the node behind it; and
// shows that each of Astra's limits is really there.
func TestAstraLookalike(t *testing.T) {
	t.Parallel()
	l := lookalike{astratest.Start(t)}
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, astratest.Token)
	settings := Settings{Store: StoreAstra, Shards: 16, Astra: &Astra{Bundle: l.Bundle, Token: &Secret{File: token}}}
	s := startOn(t, t.TempDir(), settings)
	c := clientOf(t, s)
	startGreeter(t, c)
	runGreet(t, c, "first", map[string]any{AttrRun: "r1"})
	eventually(t, "the list knows the run", func() bool { return counted(t, c, AttrRun+" = 'r1'") == 1 })
	states, err := LookSchemas(t.Context(), &settings)
	if err != nil || len(states) != 1 || states[0].State != StateCurrent {
		t.Errorf("the schema: %+v, %v", states, err)
	}

	t.Run("limits", func(t *testing.T) { l.limits(t) })
	for name, test := range map[string]struct {
		change func(a *Astra)
		want   string
	}{
		"no bundle":         {func(a *Astra) { a.Bundle = "/nothing.zip" }, "download it again"},
		"a foreign bundle":  {func(a *Astra) { a.Bundle = astratest.Bundle(t, tlstest.New(t), "https://localhost:1") }, "astra cannot be reached"},
		"a wrong token":     {func(a *Astra) { a.Token = &Secret{Command: []string{"echo", "AstraCS:wrong"}} }, "refuses this user"},
		"no token":          {func(a *Astra) { a.Token = &Secret{Command: []string{"echo", "password"}} }, "does not begin with AstraCS:"},
		"no such keyspace":  {func(a *Astra) { a.Keyspace = "nothing" }, "make it in the portal"},
		"a foreign surface": {func(a *Astra) { a.Keyspace = "system_auth" }, "not Temporal's"},
	} {
		t.Run(name, func(t *testing.T) {
			a := *settings.Astra
			test.change(&a)
			_, err := LookSchemas(t.Context(), &Settings{Store: StoreAstra, Astra: &a})
			if err == nil {
				err = SetUpSchemas(t.Context(), &Settings{Store: StoreAstra, Astra: &a}, logTo(os.Stderr))
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), astratest.Token) {
				t.Error("the error holds the token")
			}
		})
	}

	l.Node.Kill()
	l.Node.Up()
	eventuallyLong(t, "workflows run after the node was killed", func() bool { return greetOnce(t, c, "after") == nil })
}

// limits violates each of them as the ordinary role, and is refused.
func (l lookalike) limits(t *testing.T) {
	s := l.Session(t, astraUser, astratest.Token, "temporal")
	for _, text := range []string{"CREATE TABLE t (k int PRIMARY KEY, l list<int>, a int, b int) WITH compaction = {'class': 'LeveledCompactionStrategy'}", "CREATE INDEX t_a ON t (a)"} {
		if err := s.Query(text).Exec(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	var compaction map[string]string
	if err := s.Query("SELECT compaction FROM system_schema.tables WHERE keyspace_name = 'temporal' AND table_name = 't'").Scan(&compaction); err != nil || strings.Contains(compaction["class"], "Leveled") {
		t.Errorf("a property that Astra ignores was taken: %v, %v", compaction, err)
	}
	columns := make([]string, 80)
	for i := range columns {
		columns[i] = fmt.Sprintf("c%d int", i)
	}
	for name, text := range map[string]string{
		"a second index":          "CREATE INDEX t_b ON t (b)",
		"a materialized view":     "CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE k IS NOT NULL PRIMARY KEY (k)",
		"a function":              "CREATE FUNCTION f (x int) RETURNS NULL ON NULL INPUT RETURNS int LANGUAGE java AS 'return x;'",
		"a keyspace":              "CREATE KEYSPACE other WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}",
		"dropping the keyspace":   "DROP KEYSPACE temporal",
		"a timestamp of ours":     "INSERT INTO t (k, a) VALUES (1, 1) USING TIMESTAMP 1",
		"an item of a list":       "UPDATE t SET l[0] = 1 WHERE k = 1",
		"too many columns":        "CREATE TABLE wide (k int PRIMARY KEY, " + strings.Join(columns, ", ") + ")",
		"a table of old shape":    "CREATE TABLE old (k int PRIMARY KEY, v int) WITH COMPACT STORAGE",
		"a table uncompressed":    "CREATE TABLE plain (k int PRIMARY KEY) WITH compression = {'enabled': 'false'}",
		"another keyspace's rows": "SELECT * FROM system_auth.roles",
	} {
		if err := s.Query(text).Exec(); err == nil {
			t.Errorf("%s was allowed", name)
		}
	}
	if err := s.Query("INSERT INTO t (k, a) VALUES (1, 1)").Consistency(gocql.One).Exec(); err == nil {
		t.Error("a write at ONE was allowed")
	}
	if err := s.Query("INSERT INTO t (k, a) VALUES (1, 1)").Consistency(gocql.LocalQuorum).Exec(); err != nil {
		t.Errorf("a write at LOCAL_QUORUM: %v", err)
	}
}
