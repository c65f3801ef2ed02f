package postgres

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"meridian/providers"
	"meridian/stacks"
)

func TestConnectionString(t *testing.T) {
	e := stacks.Endpoint{Host: "127.3.4.5", Port: 5432, TLSMode: "disable"}
	for name, test := range map[string]struct {
		e                        stacks.Endpoint
		database, user, password string
		want                     string
	}{
		"plain":       {e, "orders", "app", "pw", "postgres://app:pw@127.3.4.5:5432/orders?sslmode=disable"},
		"mask":        {e, "orders", "app", "****", "postgres://app:****@127.3.4.5:5432/orders?sslmode=disable"},
		"no password": {e, "orders", "app", "", "postgres://app@127.3.4.5:5432/orders?sslmode=disable"},
		"no TLS mode": {stacks.Endpoint{Host: "h", Port: 1}, "d", "u", "", "postgres://u@h:1/d"},
		"IPv6":        {stacks.Endpoint{Host: "::1", Port: 1}, "d", "u", "", "postgres://u@[::1]:1/d"},
		"escaped":     {e, "a/b?c", "u@x", "p:w/'#%\\ é", "postgres://u%40x:p%3Aw%2F%27%23%25%5C%20%C3%A9@127.3.4.5:5432/a%2Fb%3Fc?sslmode=disable"},
	} {
		t.Run(name, func(t *testing.T) {
			got := New().ConnectionString(test.e, test.database, test.user, test.password)
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			cfg, err := pgx.ParseConfig(got)
			if err != nil || cfg.Database != test.database || cfg.User != test.user || test.password != "" && cfg.Password != test.password {
				t.Errorf("a driver reads it as %q %q %q: %v", cfg.User, cfg.Password, cfg.Database, err)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	e := New()
	t.Run("ready", func(t *testing.T) {
		if err := e.Probe(t.Context(), lab.source.target("r")); err != nil {
			t.Error(err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		target := lab.source.target("r")
		target.Password = "App-Secret-wrong"
		if err := e.Probe(t.Context(), target); !isPermanent(err) || strings.Contains(err.Error(), target.Password) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		target := lab.source.target("r")
		target.Endpoint.Port = 1
		if err := e.Probe(t.Context(), target); err == nil || isPermanent(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("bad TLS mode", func(t *testing.T) {
		target := lab.source.target("r")
		target.Endpoint.TLSMode = "sometimes"
		if err := e.Probe(t.Context(), target); err == nil || strings.Contains(err.Error(), adminPassword) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("starting up", func(t *testing.T) {
		target := lab.source.target("r")
		target.Endpoint.Host, target.Endpoint.Port = refusingServer(t, "57P03", "the database system is starting up")
		if err := e.Probe(t.Context(), target); err == nil || isPermanent(err) || !strings.Contains(err.Error(), "starting up") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("in recovery", func(t *testing.T) {
		s := ownServer(t, "standby", nil)
		s.kill()
		if err := os.WriteFile(filepath.Join(s.dir, "standby.signal"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.launch(); err != nil {
			t.Fatal(err)
		}
		if err := s.wait(func(err error) bool { return errors.Is(err, errRecovering) && !isPermanent(err) }); err != nil {
			t.Error(err)
		}
	})
}

// refusingServer answers every client with one error, as a server does that takes no sessions yet.
func refusingServer(t *testing.T, code, message string) (string, int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: message})
				_ = backend.Flush()
			}
			_ = conn.Close()
		}
	}()
	return "127.0.0.1", listener.Addr().(*net.TCPAddr).Port
}

func TestNames(t *testing.T) {
	long := strings.Repeat("very-long-label-", 4)[:63]
	seen := map[string]string{}
	for _, inc := range []string{"k3v9x2qa", "k3v9x2q", "01JD2M3N4P5Q6R7S8T9VWXYZAB", "UPPER", "a_b", ""} {
		for _, link := range [][2]string{{"ankara", "istanbul"}, {"ankara-istanbul", "x"}, {"ankara", "istanbul-x"}, {long, long}} {
			for _, db := range []string{"orders", "Orders", "or ders", "or_ders", strings.Repeat("d", 63), "ä"} {
				in := providers.LinkInput{Stack: stacks.StackID{Incarnation: inc}, Link: stacks.Link{From: link[0], To: link[1]}}
				name, id := linkName(in, db), strings.Join([]string{inc, in.Link.Name(), db}, "|")
				if old, ok := seen[name]; ok && old != id {
					t.Errorf("%s and %s are both %s", old, id, name)
				}
				seen[name] = id
				for _, n := range []string{name, roleName(in)} {
					if len(n) > 63 || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || !strings.HasPrefix(n, ownPrefix) {
						t.Errorf("%s: %s", id, n)
					}
				}
				if !ofLink(in, name) || !strings.HasPrefix(name, incarnationPrefix(inc)) {
					t.Errorf("%s is not of its own link", name)
				}
			}
		}
	}
	in := providers.LinkInput{Stack: stacks.StackID{Incarnation: "k3v9x2qa"}, Link: stacks.Link{From: "ankara", To: "istanbul"}}
	for got, want := range map[string]string{linkName(in, "orders"): "meridian_k3v9x2qa_ankara_istan_46464b3c_orders_e8da53", roleName(in): "meridian_repl_ankara_istanbul_46464b3ce0984697"} {
		if got != want {
			t.Errorf("%s instead of %s: the names of links that exist must never change", got, want)
		}
	}
}

func TestSettleHidesSecrets(t *testing.T) {
	err := settle(errors.Join(errors.New("connect with password hunter2: refused"), providers.ErrSuperseded), "", "hunter2")
	if strings.Contains(err.Error(), "hunter2") || !errors.Is(err, providers.ErrSuperseded) || isPermanent(err) {
		t.Errorf("got %v", err)
	}
	if err := settle(&pgconn.PgError{Code: codeNoPrivilege}); !isPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestEntryKey(t *testing.T) {
	for name, test := range map[string]struct{ a, b string }{
		"other IDs and owner": {"3345; 1259 16386 TABLE public orders alice", "12; 1259 99 TABLE public orders bob"},
		"spaces":              {"1; 1255 2 FUNCTION public f(integer, text) alice", "7; 1255 3 FUNCTION public f(integer, text) bob"},
	} {
		t.Run(name, func(t *testing.T) {
			if entryKey(test.a) != entryKey(test.b) {
				t.Errorf("%q and %q", entryKey(test.a), entryKey(test.b))
			}
		})
	}
	if entryKey("1; 1259 2 TABLE public a x") == entryKey("1; 1259 2 TABLE public b x") {
		t.Error("two tables are one")
	}
}

func TestStripRestrict(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"new minor":       {"--\n-- dump\n--\n\n\\restrict KEY\n\nSELECT 1;\n\\unrestrict KEY\n\n", "--\n-- dump\n--\n\n\nSELECT 1;\n"},
		"old minor":       {"--\n-- dump\n--\n\nSELECT 1;\n", "--\n-- dump\n--\n\nSELECT 1;\n"},
		"only in a body":  {"--\nCREATE FUNCTION f; $$\n\\restrict x\n$$;\n", "--\nCREATE FUNCTION f; $$\n\\restrict x\n$$;\n"},
		"also in a body":  {"--\n\\restrict K\nSELECT '\n\\unrestrict Z\n';\n\\unrestrict K\n", "--\nSELECT '\n\\unrestrict Z\n';\n"},
		"nothing":         {"", ""},
		"never closed":    {"\\restrict K\nSELECT 1;\n", "SELECT 1;\n"},
		"nothing between": {"\\restrict K\n\\unrestrict K\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := stripRestrict(test.in); got != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
