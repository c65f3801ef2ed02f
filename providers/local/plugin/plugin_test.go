package plugin_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers/local/plugin"
	"meridian/providers/local/server"
)

func TestLifeOfAServer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.apply()
	first := s.wantState(server.StateRunning)
	s.wantClean()

	s.vars.Settings["work_mem"] = "16384kB"
	s.write()
	s.wantChange("work_mem", "16384kB")
	if _, out := s.plan(); strings.Contains(out, "known after apply") {
		t.Errorf("a setting changes what nobody knows yet:\n%s", out)
	}
	s.apply()
	s.wantClean()
	if now := s.wantState(server.StateRunning); now.PID != first.PID {
		t.Fatal("a setting that needs no restart restarted the server")
	}

	delete(s.vars.Settings, "max_connections")
	s.vars.Port = 5439
	s.vars.Name = "renamed"
	s.write()
	s.apply()
	s.wantClean()
	if now := s.wantState(server.StateRunning); now.Spec.Port != 5439 || now.PID == first.PID {
		t.Fatalf("port %d, process %d", now.Spec.Port, now.PID)
	}

	s.must("destroy", "-auto-approve")
	s.wantState(server.StateAbsent)
	if _, err := os.Stat(s.vars.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the directory stays: %v", err)
	}
}

// TestDrift changes the world in every way that it can, looks whether a plan sees it, and whether an apply mends it.
func TestDrift(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.apply()
	s.wantClean()
	steps := []struct {
		name  string
		drift func()
		says  []string
	}{
		{"a setting", func() { s.sql("alter system set work_mem = '64MB'", "select pg_reload_conf()") }, []string{"work_mem", "64MB", "update in-place"}},
		{"stopped", func() { mustNot(t, server.Stop(t.Context(), s.vars.DataDir, s.vars.Owner)) }, []string{`"stopped"`, `"running"`, "update in-place"}},
		{"killed", func() {
			mustNot(t, syscall.Kill(s.sight().PID, syscall.SIGKILL))
			eventually(t, "stopped", func() bool { return s.sight().State == server.StateStopped })
		}, []string{`"stopped"`, "update in-place"}},
		{"another password", func() { s.sql("alter role meridian password 'taken over'") }, []string{"admin_password_wo_version", "update in-place"}},
		{"gone", func() { mustNot(t, os.RemoveAll(s.vars.DataDir)) }, []string{"1 to add"}},
	}
	for _, step := range steps {
		step.drift()
		s.wantChange(step.says...)
		s.apply()
		s.wantClean()
		s.wantState(server.StateRunning)
		s.sql("select 1")
	}
}

func mustNot(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sql runs statements over TCP, as the administrator with the password.
func (s *stack) sql(statements ...string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), "postgres://meridian:"+password+"@"+net.JoinHostPort(s.vars.Address, strconv.Itoa(s.vars.Port))+"/postgres?sslmode=disable")
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(s.t.Context())
	for _, text := range statements {
		if _, err := conn.Exec(s.t.Context(), text); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
}

func TestForeignServerOnThePort(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	listen := func() net.Listener {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", net.JoinHostPort(s.vars.Address, "5432"))
		mustNot(t, err)
		return l
	}
	refused := func(when string) {
		t.Helper()
		s.wantChange("place is taken", "process "+strconv.Itoa(os.Getpid()))
		if code, out := s.run("apply", "-auto-approve", "-input=false"); code != 1 || !strings.Contains(out, "Error: ") || !strings.Contains(out, "something there is not ours") {
			t.Fatalf("%s: exit %d\n%s", when, code, out)
		}
	}
	l := listen()
	refused("a new server where another listens")
	mustNot(t, l.Close())
	s.apply()
	mustNot(t, server.Stop(t.Context(), s.vars.DataDir, s.vars.Owner))
	l = listen()
	refused("our server is stopped and another listens")
	s.must("destroy", "-auto-approve") // which it does not hinder
	s.wantState(server.StateAbsent)
	mustNot(t, l.Close())
}

func TestForeignDirectory(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	mustNot(t, os.Mkdir(s.vars.DataDir, 0o755))
	thesis := filepath.Join(s.vars.DataDir, "thesis.tex")
	mustNot(t, os.WriteFile(thesis, []byte("dear"), 0o600))
	s.wantChange("place is taken", "thesis.tex")
	if code, out := s.run("apply", "-auto-approve", "-input=false"); code != 1 || !strings.Contains(out, "thesis.tex") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	s.must("destroy", "-auto-approve") // which has nothing to do
	if text, err := os.ReadFile(thesis); err != nil || string(text) != "dear" {
		t.Fatalf("%q, %v", text, err)
	}
	mustNot(t, os.RemoveAll(s.vars.DataDir))
}

func TestRefusedAtPlan(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.apply()
	good := s.vars
	for name, c := range map[string]struct {
		change func(*vars)
		says   string
	}{
		"another major":    {func(v *vars) { v.Version = "12" }, "major version"},
		"another owner":    {func(v *vars) { v.Owner = "somebody/else" }, "does not change its owner"},
		"a public address": {func(v *vars) { v.Address = "10.0.0.1" }, "loopback"},
		"a managed name":   {func(v *vars) { v.Settings = map[string]string{"port": "1"} }, "decided by Meridian"},
		"a relative path":  {func(v *vars) { v.DataDir = "db" }, "absolute path"},
	} {
		s.vars = good
		c.change(&s.vars)
		s.write()
		if code, out := s.plan(); code != 1 || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
	s.vars = good
	s.vars.DataDir += "-moved"
	s.write()
	s.wantChange("must be replaced", "forces replacement")
	s.vars = good
	s.write()
	s.wantClean()
}

func TestReplacementOnTheSameAddress(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.apply()
	old := s.vars.DataDir
	s.vars.DataDir += "-moved"
	s.write()
	s.apply()
	s.wantClean()
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the old directory stays: %v", err)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.apply()
	first := s.wantState(server.StateRunning)
	for _, id := range []string{s.vars.DataDir, net.JoinHostPort(s.vars.Address, "5432")} {
		mustNot(t, os.Remove(filepath.Join(s.dir, "terraform.tfstate")))
		s.must("import", "-input=false", "module.database.localdb_postgres.this", id)
		s.wantClean()
	}
	for _, id := range []string{"/nonexistent/db", "127.0.0.1:1", "hello"} {
		mustNot(t, os.Remove(filepath.Join(s.dir, "terraform.tfstate")))
		if code, out := s.run("import", "-input=false", "module.database.localdb_postgres.this", id); code == 0 {
			t.Fatalf("import of %s: %s", id, out)
		}
		mustNot(t, os.WriteFile(filepath.Join(s.dir, "terraform.tfstate"), nil, 0o600))
	}
	mustNot(t, os.Remove(filepath.Join(s.dir, "terraform.tfstate")))
	s.apply() // with no state at all: the create adopts it
	if now := s.wantState(server.StateRunning); now.PID != first.PID {
		t.Fatal("the server was made or started again")
	}
}

// TestImportOfAStoppedServer imports what does not say what it is before the apply that follows starts it.
func TestImportOfAStoppedServer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.apply()
	first := s.wantState(server.StateRunning)
	mustNot(t, server.Stop(t.Context(), s.vars.DataDir, s.vars.Owner))
	mustNot(t, os.Remove(filepath.Join(s.dir, "terraform.tfstate")))
	s.must("import", "-input=false", "module.database.localdb_postgres.this", s.vars.DataDir)
	s.wantChange(`"stopped"`, `"running"`, "update in-place")
	s.apply()
	s.wantClean()
	if now := s.wantState(server.StateRunning); now.PID == first.PID {
		t.Fatal("the server was never stopped")
	}
}

func TestPasswordIsInNoFile(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.must("plan", "-out=p.tfplan", "-input=false")
	s.must("apply", "-input=false", "p.tfplan")
	for _, args := range [][]string{{"show", "-json", "p.tfplan"}, {"show", "-json"}, {"state", "pull"}, {"output", "-json"}} {
		cmd, out := s.command(args...)
		mustNot(t, cmd.Run())
		if strings.Contains(out.String(), password) {
			t.Errorf("terraform %v tells the password", args)
		}
	}
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(s.sight().PID) + "/environ")
	mustNot(t, err)
	for _, word := range []string{password, "TF_VAR", "SECRET_OF_THE_PARENT", "TF_PLUGIN"} {
		if bytes.Contains(environ, []byte(word)) {
			t.Errorf("the server's environment has %s", word)
		}
	}
	mustNot(t, filepath.WalkDir(filepath.Dir(s.dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(password)) {
			t.Errorf("%s holds the password", path)
		}
		return nil
	}))
}

// TestTerraformKilledInTheMiddle kills terraform, or everything, at several moments of a create, and applies again.
func TestTerraformKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration
		group bool // the plugin too
	}{
		"terraform, before initdb": {0, false}, "terraform, in initdb": {250 * time.Millisecond, false},
		"everything, in initdb": {300 * time.Millisecond, true}, "everything, later": {600 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			ledger := filepath.Join(s.dir, "ledger")
			s.env = append(s.env, plugin.EnvLedger+"="+ledger, server.EnvDelay+"=200ms")
			cmd, out := s.command("apply", "-auto-approve", "-input=false")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.WaitDelay = 10 * time.Second // an orphan holds the pipe
			mustNot(t, cmd.Start())
			eventually(t, "create began", func() bool { return len(lines(t, ledger)) > 0 })
			timer := time.NewTimer(c.after)
			<-timer.C
			target := cmd.Process.Pid
			if c.group {
				target = -target
			}
			mustNot(t, syscall.Kill(target, syscall.SIGKILL))
			if err := cmd.Wait(); err == nil {
				t.Fatalf("terraform was faster than the kill:\n%s", out)
			}
			s.apply()
			s.wantClean()
			s.wantState(server.StateRunning)
			s.sql("select 1")
			entries, err := os.ReadDir(s.vars.DataDir)
			mustNot(t, err)
			for _, e := range entries {
				if strings.Contains(e.Name(), ".new") {
					t.Errorf("%s stays", e.Name())
				}
			}
			if n := lines(t, ledger); len(n) < 3 {
				t.Errorf("the ledger has %v", n)
			}
		})
	}
}

func lines(t *testing.T, ledger string) []plugin.LedgerLine {
	t.Helper()
	f, err := os.Open(ledger)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	mustNot(t, err)
	defer f.Close()
	var out []plugin.LedgerLine
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var l plugin.LedgerLine
		mustNot(t, json.Unmarshal(scan.Bytes(), &l))
		out = append(out, l)
	}
	return out
}

func TestInterruptLeavesNothingTainted(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	ledger := filepath.Join(s.dir, "ledger")
	s.env = append(s.env, plugin.EnvLedger+"="+ledger, server.EnvDelay+"=30s")
	cmd, out := s.command("apply", "-auto-approve", "-input=false")
	mustNot(t, cmd.Start())
	eventually(t, "create began", func() bool { return len(lines(t, ledger)) > 0 })
	mustNot(t, cmd.Process.Signal(syscall.SIGINT))
	if err := cmd.Wait(); err == nil {
		t.Fatalf("interrupted and done:\n%s", out)
	}
	state, err := os.ReadFile(filepath.Join(s.dir, "terraform.tfstate"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) || bytes.Contains(state, []byte("tainted")) {
		t.Fatalf("%v\n%s", err, state)
	}
	s.env = s.env[:len(s.env)-1]
	s.apply()
	s.wantClean()
}
