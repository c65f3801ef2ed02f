package temporal

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/persistence/store/storetest"
)

// onPostgres are the settings of a server on a PostgreSQL, whose password comes from a file.
func onPostgres(t testing.TB, where string) Settings {
	t.Helper()
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	u.User = url.User(u.User.Username())
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Settings{Store: StorePostgres, Postgres: &Postgres{URL: u.String(), Password: &Secret{File: file}}}
}

func startOn(t testing.TB, dir string, s Settings) *Server {
	t.Helper()
	out, err := Start(t.Context(), Options{Dir: dir, Settings: s, Logger: logTo(os.Stderr)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Stop)
	return out
}

// TestPostgres runs workflows on PostgreSQL, over a restart and over an outage of the database; a second server is refused.
func TestPostgres(t *testing.T) {
	t.Parallel()
	db := storetest.Start(t)
	settings := onPostgres(t, db.URL)
	dir := t.TempDir()
	s := startOn(t, dir, settings)
	c := clientOf(t, s)
	startGreeter(t, c)
	runGreet(t, c, "first", map[string]any{AttrRun: "r1"})
	eventually(t, "the list knows the run", func() bool { return counted(t, c, AttrRun+" = 'r1'") == 1 })

	outlives(t, s, c, db.Down, db.Up)
	eventually(t, "workflows run after the outage", func() bool { return greetOnce(t, c, "after") == nil })
	c.Close()
	stopped := time.Now()
	s.Stop()
	if took := time.Since(stopped); took > 5*time.Second {
		t.Errorf("it took %s to stop", took)
	}

	s = startOn(t, dir, settings)
	c = clientOf(t, s)
	if _, err := c.DescribeWorkflowExecution(t.Context(), "first", ""); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, FileName)); err == nil {
		t.Error("there is a SQLite file too")
	}
	if testing.Short() {
		return
	}
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Settings: settings, Logger: logTo(os.Stderr)})
	if err == nil || !strings.Contains(err.Error(), "another server runs on it") {
		t.Errorf("a second server: %v", err)
	}
}
