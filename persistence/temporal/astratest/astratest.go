// Package astratest stands for Astra DB in tests: a look-alike, for the service itself cannot be had.
//
// It must never be imported by what ships.
package astratest

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
	"testing"
	"time"

	"github.com/gocql/gocql"

	"meridian/persistence/temporal/cassandratest"
	"meridian/persistence/temporal/tlstest"
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

// User and Token are whom the look-alike lets in, an ordinary role. Superuser is one whom no limit binds; its password is its name.
const (
	User      = "token"
	Token     = "AstraCS:a-token-of-tests"
	Superuser = "cassandra"
)

// patience is how long a new node may take to make its roles.
const patience = time.Minute

// Lookalike is what stands for Astra DB: a real Cassandra with Astra's limits, behind a metadata service and a proxy that leads by
// the name that a client asks for, both by mutual TLS with the certificates of a secure connect bundle.
type Lookalike struct {
	// Node is what is behind it.
	Node *cassandratest.Node
	// Bundle is the file of its secure connect bundle.
	Bundle string
}

// Start makes one for the time of a test. It skips where this machine has no Cassandra.
func Start(t testing.TB) *Lookalike {
	t.Helper()
	l := &Lookalike{Node: cassandratest.Start(t, "dc1", false, guardrails)}
	admin := l.Session(t, Superuser, Superuser, "")
	for _, text := range []string{
		"CREATE KEYSPACE temporal WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}",
		"CREATE ROLE 'token' WITH PASSWORD = '" + Token + "' AND LOGIN = true",
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
	admin.Close() // else it is looking for a node that a test takes away
	ca := tlstest.New(t)
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
	meta.TLS = ca.Mutual("localhost")
	meta.Config.ErrorLog = nil
	meta.StartTLS()
	t.Cleanup(meta.Close)
	l.Bundle = Bundle(t, ca, meta.URL)
	return l
}

// proxy leads each connection to the node that its client named, and hangs up on who names another.
func (l *Lookalike) proxy(t testing.TB, ca *tlstest.Authority, id string) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", ca.Mutual("localhost"))
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
				out, err := net.Dial("tcp", l.Node.HostPort())
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

// Bundle writes a secure connect bundle of an authority, which leads to a metadata service.
func Bundle(t testing.TB, ca *tlstest.Authority, metadata string) string {
	t.Helper()
	u, err := url.Parse(metadata)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue("client.test")
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
	for name, file := range map[string]string{"ca.crt": ca.CA, "cert": cert, "key": key} {
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

// Session is a session on the node itself, past the proxy.
func (l *Lookalike) Session(t testing.TB, user, password, keyspace string) *gocql.Session {
	t.Helper()
	c := gocql.NewCluster(l.Node.Address)
	c.ProtoVersion, c.Keyspace, c.Consistency = 4, keyspace, gocql.LocalQuorum
	c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
	c.Timeout = 10 * time.Second
	deadline := time.Now().Add(patience)
	for {
		s, err := c.CreateSession()
		if err == nil {
			t.Cleanup(s.Close)
			return s
		}
		if time.Now().After(deadline) { // a new node makes its superuser after it answers
			t.Fatalf("the look-alike of Astra lets %s not in: %v", user, err)
		}
	}
}
