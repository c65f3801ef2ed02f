package temporal

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	tools "go.temporal.io/server/tools/common/schema"

	"meridian/persistence/store/storetest"
)

// TestSchemasInPostgres takes both schemas through their states: absent, set up by two at once, cut short, older, newer, foreign, damaged.
func TestSchemasInPostgres(t *testing.T) {
	t.Parallel()
	settings := onPostgres(t, storetest.Postgres(t))
	log := logTo(os.Stderr)
	ctx := t.Context()
	raw, err := newPostgresPart(settings.Postgres, stateSchema).open(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	exec := func(text string) {
		t.Helper()
		if _, err := raw.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	want := func(state, lists string) {
		t.Helper()
		states, err := LookSchemas(ctx, &settings)
		if err != nil {
			t.Fatal(err)
		}
		if len(states) != 2 || states[0].Part != "state" || states[1].Part != "lists" || states[0].State != state || states[1].State != lists {
			t.Errorf("states %+v, want %s and %s", states, state, lists)
		}
	}
	refused := func(text string) {
		t.Helper()
		for name, change := range map[string]func() error{
			"setup":   func() error { return SetUpSchemas(ctx, &settings, log) },
			"upgrade": func() error { return UpgradeSchemas(ctx, &settings, log) },
			"start": func() error {
				s, err := Start(ctx, Options{Dir: t.TempDir(), Settings: settings, Logger: log})
				if err == nil {
					s.Stop()
				}
				return err
			},
		} {
			if err := change(); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q", name, err, text)
			}
		}
	}
	want(StateAbsent, StateAbsent)

	// Two machines at once; a third was killed in the middle, where its tables begin.
	exec("CREATE SCHEMA temporal")
	exec("CREATE TABLE temporal.schema_version (version_partition INT NOT NULL, db_name VARCHAR(255) NOT NULL, creation_time TIMESTAMP, curr_version VARCHAR(64), min_compatible_version VARCHAR(64), PRIMARY KEY (version_partition, db_name))")
	exec("CREATE TABLE temporal.namespaces (partition_id INTEGER NOT NULL, id BYTEA NOT NULL, name VARCHAR(255) UNIQUE NOT NULL, notification_version BIGINT NOT NULL, data BYTEA NOT NULL, data_encoding VARCHAR(16) NOT NULL, is_global BOOLEAN NOT NULL, PRIMARY KEY (partition_id, id))")
	want(StatePartial, StateAbsent)
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		both.Go(func() { errs[i] = SetUpSchemas(ctx, &settings, log) })
	}
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	want(StateCurrent, StateCurrent)

	exec("DROP TABLE temporal.timer_tasks")
	want(StateDamaged, StateCurrent)
	refused("tables are missing: timer_tasks")
	exec("UPDATE temporal.schema_version SET curr_version = '9.9', min_compatible_version = '9.0'")
	want(StateNewer, StateCurrent)
	refused("run the newer meridian")
	exec("DROP SCHEMA temporal CASCADE")
	exec("CREATE SCHEMA temporal")
	exec("CREATE TABLE temporal.customers (id int)")
	want(StateForeign, StateCurrent)
	refused("not Temporal's: customers")

	// An older one is upgraded by the verb alone.
	exec("DROP SCHEMA temporal CASCADE")
	older(t, &settings, "1.15")
	want(StateOlder, StateCurrent)
	if _, err := Start(ctx, Options{Dir: t.TempDir(), Settings: settings, Logger: log}); err == nil || !strings.Contains(err.Error(), "meridian persistence upgrade") {
		t.Errorf("a server on an older schema: %v", err)
	}
	if err := SetUpSchemas(ctx, &settings, log); err != nil {
		t.Errorf("setup beside an older one: %v", err)
	}
	want(StateOlder, StateCurrent)
	if err := UpgradeSchemas(ctx, &settings, log); err != nil {
		t.Fatal(err)
	}
	want(StateCurrent, StateCurrent)
	works(t, startOn(t, t.TempDir(), settings))
	exec("UPDATE temporal.meridian_schema SET checksum = 'other'")
	want(StateDamaged, StateCurrent)
}

// older sets the state's schema up as an older server did.
func older(t *testing.T, s *Settings, version string) {
	t.Helper()
	target := targetsOf(s)[0]
	db, err := target.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.make(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := newToolLogger(logTo(os.Stderr))
	if err := tools.NewSetupSchemaTask(db, &tools.SetupConfig{InitialVersion: initialVersion}, log).Run(); err != nil {
		t.Fatal(err)
	}
	if err := tools.NewUpdateSchemaTask(db, &tools.UpdateConfig{SchemaName: target.assets(), TargetVersion: version}, log).Run(); err != nil {
		t.Fatal(err)
	}
}

// TestPostgresPreflight says of everything that would stop the server later what to do.
func TestPostgresPreflight(t *testing.T) {
	t.Parallel()
	settings := onPostgres(t, storetest.Postgres(t))
	raw, err := newPostgresPart(settings.Postgres, stateSchema).open(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	for _, text := range []string{
		"CREATE ROLE guest LOGIN PASSWORD 'guest'", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
	} {
		if _, err := raw.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	guest := &Secret{Command: []string{"echo", "guest"}}
	change := func(old, new string) func(p *Postgres) {
		return func(p *Postgres) { p.URL = strings.Replace(p.URL, old, new, 1) }
	}
	for name, test := range map[string]struct {
		change func(p *Postgres)
		want   string
	}{
		"nobody there":     {change("127.0.0.1:", "127.0.0.2:"), "cannot be reached"},
		"no such database": {change("/postgres?", "/nothing?"), "create it"},
		"a wrong password": {func(p *Postgres) { p.Password = guest }, "refuses this user"},
		"another encoding": {change("/postgres?", "/latin?"), "has encoding LATIN1"},
		"no rights": {func(p *Postgres) {
			_, rest, _ := strings.Cut(p.URL, "@")
			p.URL, p.Password = "postgres://guest@"+rest, guest
		}, "GRANT CREATE ON DATABASE"},
		"no certificate": {change("sslmode=disable", "sslmode=verify-full"), "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings
			p := *settings.Postgres
			s.Postgres = &p
			test.change(&p)
			_, err := Start(t.Context(), Options{Dir: t.TempDir(), Settings: s, Logger: logTo(os.Stderr)})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), storetest.Password) {
				t.Error("the error holds the password")
			}
		})
	}
}
