package mysql

import (
	"errors"
	"strings"
	"testing"
	"time"

	"meridian/providers"
	"meridian/providers/engines/mysql/mariadbtest"
	"meridian/stacks"
)

// looks takes looks at a link until it is as wanted.
func looks(t *testing.T, e *Engine, in providers.LinkInput, state providers.ReadyState, said string) providers.LinkStatus {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		st, err := e.CheckLink(t.Context(), in)
		if err == nil && st.State == state && strings.Contains(st.Message, said) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("want %s %q, have %+v, %v", state, said, st, err)
		}
	}
}

// TestReadReplica proves a real replica by a row, and says what became of one that stands still, lags, writes, follows another or nobody.
func TestReadReplica(t *testing.T) {
	t.Parallel()
	from := start(t, mariadbtest.Config{})
	to := start(t, mariadbtest.Config{Of: from})
	e := &Engine{name: "mysql", beatWait: 300 * time.Millisecond}
	in := providers.LinkInput{
		Stack: stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "k3m9x2pq", Region: "there"}, RunNumber: 1,
		Link: stacks.Link{From: "here", To: "there", Mode: stacks.LinkPhysical}, From: target(from, "here"), To: target(to, "there"),
	}
	in.To.Follows = true
	_, err := e.EnsureObjects(t.Context(), in.From, wants(1))
	must(t, err)
	must(t, e.Probe(t.Context(), in.To))
	must(t, e.EnsureLink(t.Context(), in))
	must(t, e.EnsureLink(t.Context(), in))
	if st := looks(t, e, in, providers.StateReady, "was read in there"); st.Lag <= 0 {
		t.Errorf("no lag: %+v", st)
	}
	if err := does(to, "app", appPassword, "shop_a", "CREATE TABLE x (id INT)"); err == nil {
		t.Error("the replica takes writes")
	}
	if items, err := e.Inspect(t.Context(), in.To, providers.InspectInput{Objects: wants(1)}); err != nil || len(items) > 0 {
		t.Errorf("inside of the replica: %+v, %v", items, err)
	}

	asRoot(t, to, "STOP SLAVE SQL_THREAD")
	in.MaxLag = time.Minute
	looks(t, e, in, providers.StatePending, "the thread that applies does not run")
	asRoot(t, to, "STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY=1", "START SLAVE")
	in.MaxLag = 100 * time.Millisecond
	if st := looks(t, e, in, providers.StatePending, "behind here"); !st.Late {
		t.Errorf("lag is not late: %+v", st)
	}
	in.MaxLag = time.Minute
	if st := looks(t, e, in, providers.StateReady, ""); st.Lag <= 0 {
		t.Errorf("no lag: %+v", st)
	}
	asRoot(t, to, "STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY=0", "START SLAVE")

	older := in
	older.RunNumber = 0
	if _, err := e.CheckLink(t.Context(), older); !errors.Is(err, providers.ErrSuperseded) {
		t.Errorf("an older run looks: %v", err)
	}
	logical := in
	logical.Link.Mode = stacks.LinkLogical
	if err := e.EnsureLink(t.Context(), logical); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("a logical link: %v", err)
	}
	turned := in
	turned.From, turned.To = in.To, in.From
	turned.From.Region, turned.To.Region = "here", "there"
	if err := e.EnsureLink(t.Context(), turned); !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "follows no other") {
		t.Errorf("a primary is no replica: %v", err)
	}
	asRoot(t, to, "SET GLOBAL read_only = 0")
	looks(t, e, in, providers.StateFailed, "takes writes of its own")
	asRoot(t, to, "SET GLOBAL read_only = 1")

	must(t, e.RemoveLink(t.Context(), in))
	if err := does(from, mariadbtest.Admin, adminPassword, "meridian", "SIGNAL SQLSTATE '45000'"); err == nil {
		t.Fatal("a statement that fails did not")
	}
	s, err := connect(t.Context(), in.From)
	must(t, err)
	defer s.close()
	if rows, err := s.texts(t.Context(), "SELECT link FROM meridian.heartbeat"); err != nil || len(rows) > 0 {
		t.Errorf("left of the link: %q, %v", rows, err)
	}
	must(t, e.RemoveLink(t.Context(), in))

	other := start(t, mariadbtest.Config{})
	must(t, e.EnsureLink(t.Context(), in))
	foreign := in
	foreign.From = target(other, "elsewhere")
	if err := e.EnsureLink(t.Context(), foreign); !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a replica of another: %v", err)
	}
	asRoot(t, to, "STOP SLAVE", "RESET SLAVE ALL")
	looks(t, e, in, providers.StateFailed, "it was promoted")
	from.Kill()
	must(t, e.RemoveLink(t.Context(), in))
}

func TestJudge(t *testing.T) {
	t.Parallel()
	in := providers.LinkInput{From: providers.Target{Region: "here"}, To: providers.Target{Region: "there"}, MaxLag: time.Second}
	for name, c := range map[string]struct {
		beat    beat
		stopped string
		state   providers.ReadyState
		late    bool
	}{
		"at once":                   {beat{arrived: true, lag: time.Millisecond}, "", providers.StateReady, false},
		"too late":                  {beat{arrived: true, lag: 2 * time.Second}, "", providers.StatePending, true},
		"behind, as it may":         {beat{behind: time.Millisecond}, "", providers.StateReady, false},
		"behind, more than it may":  {beat{behind: time.Minute}, "", providers.StatePending, true},
		"behind, and nothing moves": {beat{behind: time.Millisecond}, "the thread that applies does not run", providers.StatePending, false},
		"never":                     {beat{}, "", providers.StatePending, false},
		"arrived, whatever it says": {beat{arrived: true, lag: time.Millisecond}, "the thread that fetches does not run", providers.StateReady, false},
	} {
		if got := judge(in, c.beat, c.stopped, time.Second); got.State != c.state || got.Late != c.late || got.Message == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestWhatStopped reads what MySQL and MariaDB call the same things, and tells no text of an error.
func TestWhatStopped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status map[string]string
		want   string
	}{
		"mysql, well":     {map[string]string{"replica_io_running": "Yes", "replica_sql_running": "Yes"}, ""},
		"mariadb, well":   {map[string]string{"slave_io_running": "Yes", "slave_sql_running": "Yes"}, ""},
		"mysql, stopped":  {map[string]string{"replica_io_running": "Yes", "replica_sql_running": "No", "last_sql_errno": "1062", "last_sql_error": "Duplicate entry 'secret'"}, "the thread that applies does not run (error 1062; SHOW REPLICA STATUS says more)"},
		"mariadb, away":   {map[string]string{"slave_io_running": "Connecting", "slave_sql_running": "Yes", "last_io_errno": "0"}, "the thread that fetches does not run"},
		"not to be asked": {nil, ""},
	} {
		if got := whatStopped(c.status); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestConnectionString(t *testing.T) {
	t.Parallel()
	e := stacks.Endpoint{Host: "db.example", Port: 3306, TLSMode: "verify-full"}
	for want, got := range map[string]string{
		"mysql://app:p%40ss@db.example:3306/shop?ssl-mode=VERIFY_IDENTITY": MySQL().ConnectionString(e, "shop", "app", "p@ss"),
		"mysql://app@db.example:3306/shop?ssl-mode=VERIFY_IDENTITY":        MariaDB().ConnectionString(e, "shop", "app", ""),
		"mysql://[::1]:3306/shop":                                          MySQL().ConnectionString(stacks.Endpoint{Host: "::1", Port: 3306}, "shop", "", ""),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestValidateDatabase(t *testing.T) {
	t.Parallel()
	db := stacks.Database{Spec: stacks.DatabaseSpec{Users: []stacks.User{{Name: strings.Repeat("u", 32)}, {Name: strings.Repeat("u", 33)}}}}
	if ds := MySQL().ValidateDatabase(t.Context(), db); len(ds) != 1 || ds[0].Field != "spec.users[1].name" || ds[0].Next == "" {
		t.Errorf("%+v", ds)
	}
	if MySQL().MajorParts() != 2 {
		t.Error("8.0 and 8.4 are one major version")
	}
}
