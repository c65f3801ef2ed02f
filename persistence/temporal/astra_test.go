package temporal

import (
	"archive/zip"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gocql/gocql"

	"meridian/persistence/temporal/cassandratest"
)

// guardrails are Astra's limits, as Cassandra's own guardrails enforce them. They bind everybody but superusers.
var guardrails = map[string]string{
	"write_consistency_levels_disallowed":         "[ANY, ONE, LOCAL_ONE]",
	"table_properties_ignored":                    "[compaction, gc_grace_seconds]",
	"tables_fail_threshold":                       "200",
	"columns_per_table_fail_threshold":            "75",
	"secondary_indexes_per_table_fail_threshold":  "1",
	"materialized_views_per_table_fail_threshold": "1",
	"read_before_write_list_operations_enabled":   "false",
	"user_timestamps_enabled":                     "false",
	"drop_keyspace_enabled":                       "false",
	"simplestrategy_enabled":                      "false",
	"uncompressed_tables_enabled":                 "false",
	"compact_tables_enabled":                      "false",
	"column_value_size_fail_threshold":            "10MiB",
}

const (
	astraToken = "AstraCS:a-token-of-tests"
)

// lookalike is what stands for Astra DB: a real Cassandra with Astra's limits, behind a metadata service and a proxy that leads by
// the name that a client asks for, both by mutual TLS with the certificates of a secure connect bundle.
type lookalike struct {
	node   *cassandratest.Node
	bundle string
}

func newLookalike(t testing.TB) *lookalike {
	t.Helper()
	l := &lookalike{node: cassandratest.Start(t, "dc1", false, guardrails)}
	admin := l.session(t, "cassandra", "cassandra", "")
	for _, text := range []string{
		"CREATE KEYSPACE temporal WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}",
		"CREATE ROLE 'token' WITH PASSWORD = '" + astraToken + "' AND LOGIN = true",
		"GRANT CREATE ON KEYSPACE temporal TO 'token'", "GRANT ALTER ON KEYSPACE temporal TO 'token'", "GRANT DROP ON KEYSPACE temporal TO 'token'",
		"GRANT SELECT ON KEYSPACE temporal TO 'token'", "GRANT MODIFY ON KEYSPACE temporal TO 'token'",
	} {
		if err := admin.Query(text).Exec(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	var id gocql.UUID
	if err := admin.Query("SELECT host_id FROM system.local").Scan(&id); err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	proxy := l.proxy(t, ca, id.String())
	meta := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metadata" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"version": 1, "region": "test", "contact_info": map[string]any{
			"type": "sni_proxy", "local_dc": "dc1", "contact_points": []string{id.String()}, "sni_proxy_address": proxy,
		}})
	}))
	meta.TLS = ca.mutual("localhost")
	meta.Config.ErrorLog = nil
	meta.StartTLS()
	t.Cleanup(meta.Close)
	l.bundle = bundle(t, ca, meta.URL)
	return l
}

// proxy leads each connection to the node that its client named, and hangs up on who names another.
func (l *lookalike) proxy(t testing.TB, ca *authority, id string) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", ca.mutual("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := conn.(*tls.Conn)
				if err := in.Handshake(); err != nil || in.ConnectionState().ServerName != id {
					return
				}
				out, err := net.Dial("tcp", l.node.HostPort())
				if err != nil {
					return
				}
				defer out.Close()
				go func() {
					_, _ = io.Copy(out, in)
					out.Close()
				}()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return net.JoinHostPort("localhost", port)
}

// bundle writes a secure connect bundle.
func bundle(t testing.TB, ca *authority, metadata string) string {
	t.Helper()
	u, err := url.Parse(metadata)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.issue("client.test")
	path := filepath.Join(t.TempDir(), "secure-connect-test.zip")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	add := func(name string, text []byte) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("config.json", fmt.Appendf(nil, `{"host": "localhost", "port": %d, "cql_port": %d, "keyspace": "temporal"}`, port, port))
	for name, file := range map[string]string{"ca.crt": ca.ca, "cert": cert, "key": key} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add(name, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// session is a session on the node itself, past the proxy.
func (l *lookalike) session(t testing.TB, user, password, keyspace string) *gocql.Session {
	t.Helper()
	c := gocql.NewCluster(l.node.Address)
	c.ProtoVersion, c.Keyspace, c.Consistency = 4, keyspace, gocql.LocalQuorum
	c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
	c.Timeout = 2 * cassandraConnect
	var s *gocql.Session
	eventually(t, "the role is there: a new node makes its superuser after it answers", func() (ok bool) {
		var err error
		s, err = openSession(t.Context(), c)
		return err == nil
	})
	t.Cleanup(s.Close)
	return s
}

// TestAstraLookalike runs workflows on the look-alike, set up through it by an ordinary role, over a kill of the node behind it; and
// shows that each of Astra's limits is really there.
func TestAstraLookalike(t *testing.T) {
	t.Parallel()
	l := newLookalike(t)
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, astraToken)
	settings := Settings{Store: StoreAstra, Shards: 16, Astra: &Astra{Bundle: l.bundle, Token: &Secret{File: token}}}
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
		"a foreign bundle":  {func(a *Astra) { a.Bundle = bundle(t, newAuthority(t), "https://localhost:1") }, "astra cannot be reached"},
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
			if err != nil && strings.Contains(err.Error(), astraToken) {
				t.Error("the error holds the token")
			}
		})
	}

	l.node.Kill()
	l.node.Up()
	eventuallyLong(t, "workflows run after the node was killed", func() bool { return greetOnce(t, c, "after") == nil })
}

// limits violates each of them as the ordinary role, and is refused.
func (l *lookalike) limits(t *testing.T) {
	s := l.session(t, astraUser, astraToken, "temporal")
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
