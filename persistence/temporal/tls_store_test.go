package temporal

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meridian/persistence/store/storetest"
	"meridian/persistence/temporal/cassandratest"
	"meridian/persistence/temporal/tlstest"
)

// TestPostgresOverTLS runs workflows on a PostgreSQL whose certificate is checked, and on none whose certificate is another authority's.
func TestPostgresOverTLS(t *testing.T) {
	t.Parallel()
	db := storetest.Start(t)
	ca := tlstest.New(t)
	admin, err := sql.Open("pgx", db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	var dir string
	if err := admin.QueryRow("SHOW data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue("db")
	for name, from := range map[string]string{"db.crt": cert, "db.key": key} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if id := owner.Sys().(*syscall.Stat_t); os.Geteuid() == 0 { // the server is somebody else then
			if err := os.Chown(to, int(id.Uid), int(id.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, text := range []string{"ALTER SYSTEM SET ssl_cert_file = 'db.crt'", "ALTER SYSTEM SET ssl_key_file = 'db.key'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		if _, err := admin.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the server speaks TLS", func() bool {
		var on string
		return admin.QueryRow("SHOW ssl").Scan(&on) == nil && on == "on"
	})
	over := func(ca string) Settings {
		u, err := url.Parse(db.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ca}}.Encode()
		return onPostgres(t, u.String())
	}
	_, err = Start(t.Context(), Options{Dir: t.TempDir(), Settings: over(tlstest.New(t).CA), Logger: logTo(t.Output())})
	if err == nil || !strings.Contains(err.Error(), "the server's certificate is not trusted") {
		t.Errorf("with another authority: %v", err)
	}
	works(t, startOn(t, t.TempDir(), over(ca.CA)))
	var clear, sealed int
	if err := admin.QueryRow(`SELECT count(*) FILTER (WHERE NOT s.ssl), count(*) FILTER (WHERE s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
		WHERE a.application_name = 'meridian temporal'`).Scan(&clear, &sealed); err != nil || clear > 0 || sealed == 0 {
		t.Errorf("%d connections in clear, %d over TLS (%v)", clear, sealed, err)
	}
}

// TestCassandraOverTLS runs workflows on a Cassandra that asks for a password and a certificate of ours, and whose own is checked; another password, another
// authority's certificate and none are refused by name.
func TestCassandraOverTLS(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	cert, key := ca.Issue("cassandra")
	shared, err := os.MkdirTemp("/tmp", "m-tls-") // the node's user passes through
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(shared) })
	if err := os.Chmod(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	var pair []byte
	for _, from := range []string{key, cert} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		pair = append(pair, text...)
	}
	store, trusted := filepath.Join(shared, "node.pem"), filepath.Join(shared, "ca.pem")
	text, err := os.ReadFile(ca.CA)
	if err := errors.Join(err, os.WriteFile(store, pair, 0o644), os.WriteFile(trusted, text, 0o644)); err != nil {
		t.Fatal(err)
	}
	// Plain connections are let in too: how the node's life looks after it knows nothing of TLS.
	node := cassandratest.Start(t, "dc1", false, map[string]string{
		"client_encryption_options": "{enabled: true, optional: true, require_client_auth: true, keystore: " + store + ", truststore: " + trusted + ", ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}}",
	})
	settings := onCassandra(node)
	settings.Cassandra.User, settings.Cassandra.Password = "cassandra", &Secret{Command: []string{"echo", "cassandra"}}
	ours, ourKey := ca.Issue("meridian")
	settings.Cassandra.TLS = &TLS{CA: ca.CA, ServerName: "cassandra", Cert: ours, Key: ourKey}
	eventuallyLong(t, "the superuser is there", func() bool {
		c, err := (&plainCluster{settings: settings.Cassandra}).config(t.Context(), "")
		if err != nil {
			return false
		}
		s, err := openSession(t.Context(), c)
		if err == nil {
			s.Close()
		}
		return err == nil
	})
	works(t, startOn(t, t.TempDir(), settings))
	for name, test := range map[string]struct {
		change func(c *Cassandra)
		want   string
	}{
		"another authority": {func(c *Cassandra) {
			c.TLS = &TLS{CA: tlstest.New(t).CA, ServerName: "cassandra", Cert: ours, Key: ourKey}
		}, "TLS with the cluster"},
		"another name":     {func(c *Cassandra) { c.TLS = &TLS{CA: ca.CA, ServerName: "elsewhere", Cert: ours, Key: ourKey} }, "TLS with the cluster"},
		"no certificate":   {func(c *Cassandra) { c.TLS = &TLS{CA: ca.CA, ServerName: "cassandra"} }, "TLS with the cluster"},
		"a wrong password": {func(c *Cassandra) { c.Password = &Secret{Command: []string{"echo", "wrong"}} }, "refuses this user"},
	} {
		t.Run(name, func(t *testing.T) {
			other := *settings.Cassandra
			test.change(&other)
			_, err := Start(t.Context(), Options{Dir: t.TempDir(), Settings: Settings{Store: StoreCassandra, Shards: 4, Cassandra: &other}, Logger: logTo(t.Output())})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}
