package pgclient

import (
	"crypto/tls"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestNothingOfTheEnvironment wants the same configuration in a bare environment and in one that says everything otherwise.
func TestNothingOfTheEnvironment(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".postgresql"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{".pgpass": "*:*:*:*:of-the-home\n", ".postgresql/root.crt": "no certificate"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	foreign := map[string]string{
		"HOME": home, "PGHOST": "elsewhere", "PGPORT": "1", "PGDATABASE": "other", "PGUSER": "somebody", "PGPASSWORD": "guess", "PGPASSFILE": filepath.Join(home, ".pgpass"),
		"PGAPPNAME": "psql", "PGCONNECT_TIMEOUT": "never", "PGSSLMODE": "verify-full", "PGSSLKEY": "/nowhere", "PGSSLCERT": "/nowhere", "PGSSLCERTMODE": "loud",
		"PGSSLSNI": "0", "PGSSLROOTCERT": "/nowhere", "PGSSLPASSWORD": "x", "PGSSLNEGOTIATION": "direct", "PGTARGETSESSIONATTRS": "standby", "PGSERVICE": "none",
		"PGSERVICEFILE": "/nowhere", "PGTZ": "Mars", "PGOPTIONS": "-c work_mem=1", "PGMINPROTOCOLVERSION": "9.9", "PGMAXPROTOCOLVERSION": "0.1",
		"PGCHANNELBINDING": "require", "PGREQUIREAUTH": "none",
	}
	for mode, encrypted := range map[string]bool{"disable": false, "verify-full": true, "": true} {
		t.Run("sslmode "+mode, func(t *testing.T) {
			target := Target{
				Host: "127.1.2.3", Port: 5433, Database: `o'r\d`, User: "ad min", Password: "p'w", TLSMode: mode, Timeout: 5 * time.Second,
				Params: map[string]string{"application_name": "meridian"},
			}
			plain, err := Config(target)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range foreign {
				t.Setenv(name, value)
			}
			got, err := Config(target)
			if err != nil {
				t.Fatal(err)
			}
			for name, cfg := range map[string]*pgx.ConnConfig{"bare": plain, "otherwise": got} {
				if cfg.Host != "127.1.2.3" || cfg.Port != 5433 || cfg.Database != `o'r\d` || cfg.User != "ad min" || cfg.Password != "p'w" ||
					cfg.ConnectTimeout != 5*time.Second || !maps.Equal(cfg.RuntimeParams, target.Params) || cfg.ValidateConnect != nil {
					t.Errorf("%s: %+v", name, cfg.Config)
				}
				if (cfg.TLSConfig != nil) != encrypted || len(cfg.Fallbacks) != len(plain.Fallbacks) || cfg.SSLNegotiation != "" || cfg.ChannelBinding != "prefer" ||
					cfg.MinProtocolVersion != plain.MinProtocolVersion || cfg.MaxProtocolVersion != plain.MaxProtocolVersion {
					t.Errorf("%s: TLS %v, fallbacks %v, %+v", name, cfg.TLSConfig, cfg.Fallbacks, cfg.Config)
				}
				if roots := func(c *tls.Config) bool { return c != nil && c.RootCAs != nil }; roots(cfg.TLSConfig) {
					t.Errorf("%s: certificates of a file", name)
				}
			}
		})
	}
}
