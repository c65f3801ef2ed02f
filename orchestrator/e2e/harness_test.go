package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"

	"meridian/orchestrator"
	"meridian/orchestrator/activities"
	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/temporal"
	"meridian/providers"
	cassandraengine "meridian/providers/engines/cassandra"
	"meridian/providers/engines/mysql"
	"meridian/providers/engines/none"
	"meridian/providers/engines/postgres"
	"meridian/providers/local"
	pgserver "meridian/providers/local/server"
	"meridian/providers/module"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// patience is how long a story may wait for one thing: machines are shared.
const patience = 2 * time.Minute

// site is a data directory and what runs on it.
type site struct {
	t    testing.TB
	data string
	db   string // URL of the store where it is not SQLite in data
	// wrap, where set, makes provider local another one.
	wrap func(*local.Provider) providers.Provider
	// more, where set, makes further providers; env is what the runners get beside the environment for them.
	more func(m *meridian, installation string) []providers.Provider
	env  []string
	// clock is by what this site's Meridian judges time.
	clock terraform.Clock
	// driftEvery, where set, is how often a database of this site is checked for drift whose spec does not say.
	driftEvery time.Duration
	// reconcileEvery, where set, is how often rows and workflows are compared here.
	reconcileEvery time.Duration
	// patience, where set, is what this site has instead of the tests' own.
	patience time.Duration
	// beside, where set, is a Meridian whose Temporal this site's uses: another installation in one namespace.
	beside *meridian
}

// where is the site's store.
func (s *site) where() string {
	if s.db != "" {
		return s.db
	}
	return s.data
}

// newSite makes a data directory that PostgreSQL's user can reach, and leaves no server behind.
func newSite(t testing.TB) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "m-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, data: dir}
	t.Cleanup(func() {
		for _, pid := range s.processes() {
			_ = kill(pid)
		}
		s.eventually("every process of the site ends", func() error {
			if left := s.processes(); len(left) > 0 {
				return fmt.Errorf("still there: %v", left)
			}
			return nil
		})
		if t.Failed() {
			t.Logf("kept for a look: %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// processes lists the processes that name the data directory in their arguments or work in it: runners, terraforms, plugins, servers.
func (s *site) processes() []int {
	var out []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		cwd, _ := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if bytes.Contains(cmdline, []byte(s.data)) || strings.HasPrefix(cwd, s.data) {
			out = append(out, pid)
		}
	}
	return out
}

// eventually waits until f says nil.
func (s *site) eventually(what string, f func() error) {
	s.t.Helper()
	deadline := time.After(cmp.Or(s.patience, patience))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s: %v", what, err)
		}
	}
}

// timing is quick enough for tests: what users wait 10 s for takes one.
func timing() stacks.Timing {
	t := stacks.DefaultTiming()
	t.Heartbeat = 2 * time.Second
	t.BeatEvery = time.Second
	t.ReconcileEvery = time.Second
	t.ReadyMaxEvery = 2 * time.Second
	t.StopGrace = 10 * time.Second
	t.DriftEvery = 0 // a check that comes by itself would disturb what a test counts
	return t
}

// timing is what a Meridian in this process has. Nobody kills it, and the busier the machine, the later a heartbeat arrives.
func (s *site) timing() stacks.Timing {
	t := timing()
	t.Heartbeat = 5 * time.Second
	t.DriftEvery = s.driftEvery
	t.ReconcileEvery = cmp.Or(s.reconcileEvery, t.ReconcileEvery)
	return t
}

// env is what server and runners get beside the environment.
func env() []string {
	text, _ := json.Marshal(timing())
	return []string{terraform.EnvTiming + "=" + string(text)}
}

// meridian is a Meridian in this process.
type meridian struct {
	*orchestrator.Client
	site       *site
	store      *store.Store
	catalog    *catalog.Catalog
	journal    *journal.Journal
	registry   *providers.Registry
	temporal   *temporal.Server
	sdk        client.Client
	activities *activities.Activities
	logs       *logBuffer
	stop       sync.Once
}

// start starts a Meridian in this process on the site.
func (s *site) start(interceptors ...interceptor.WorkerInterceptor) *meridian {
	s.t.Helper()
	ctx := context.Background()
	m := &meridian{site: s, logs: &logBuffer{}}
	logger := slog.New(slog.NewTextHandler(m.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	quiet := slog.New(slog.NewTextHandler(m.logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	must := func(what string) {
		s.t.Helper()
		if err != nil {
			s.t.Fatalf("%s: %v", what, err)
		}
	}
	m.store, err = store.Open(ctx, s.where())
	must("store")
	sealed, err := m.store.Sealed(ctx)
	must("sealed")
	keys, err := keyring.Open(keyring.Source{Dir: s.data}, !sealed)
	must("keyring")
	m.catalog, m.journal = catalog.New(m.store, keys), journal.New(m.store, keys)
	installation, err := m.catalog.Installation(ctx)
	must("installation")
	runner := filepath.Join(bin, "meridian-runner")
	text, err := exec.Command(runner, terraform.VerbFind, "--data", s.data).Output()
	must("find")
	var found terraform.FindAnswer
	err = json.Unmarshal(text, &found)
	must("find")
	var provider providers.Provider = local.New(local.Config{
		PluginSource: found.Plugins[0].Source, PluginVersion: found.Plugins[0].Version, Root: filepath.Join(s.data, "servers"), Installation: installation,
	})
	if s.wrap != nil {
		provider = s.wrap(provider.(*local.Provider))
	}
	all := []providers.Provider{provider, module.New()}
	if s.more != nil {
		all = append(all, s.more(m, installation)...)
	}
	m.registry = providers.NewRegistry(all, []providers.Engine{cassandraengine.Engine{}, mysql.MariaDB(), mysql.MySQL(), none.Engine{}, postgres.New(postgres.WithPgDump(pgserver.PgDump))})
	if s.beside != nil {
		m.temporal = s.beside.temporal
	} else {
		m.temporal, err = temporal.Start(ctx, temporal.Options{Dir: s.data, Logger: quiet})
	}
	must("temporal")
	m.sdk, err = m.temporal.Client()
	must("temporal client")
	m.Client, err = orchestrator.NewClient(ctx, orchestrator.Options{Catalog: m.catalog, Journal: m.journal, Registry: m.registry, Timing: s.timing(), Clock: s.clock, Logger: logger,
		Resolver: activities.Resolver{Site: terraform.Site{Root: s.data}, Runner: runner, Env: env()},
	})
	must("client")
	m.activities = activities.New(activities.Options{
		Catalog: m.catalog, Journal: m.journal, Registry: m.registry, Site: terraform.Site{Root: s.data},
		Runner: runner, RunnerEnv: append(env(), s.env...), Timing: s.timing(), Clock: s.clock, Logger: logger,
	})
	err = m.Start(m.sdk, m.activities, interceptors...)
	must("start")
	s.t.Cleanup(m.close)
	return m
}

// close stops this Meridian; what it started goes on.
func (m *meridian) close() {
	m.stop.Do(func() {
		m.Client.Stop()
		m.sdk.Close()
		if m.site.beside == nil {
			m.temporal.Stop()
		}
		if err := m.store.Close(); err != nil {
			m.site.t.Logf("closing the store: %v", err)
		}
		if m.site.t.Failed() {
			m.site.t.Logf("log of this Meridian:\n%s", m.logs.tail(20000))
		}
	})
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.buf.Bytes()
	return string(text[max(0, len(text)-n):])
}

// submit submits a spec with a yes and returns its one run.
func (m *meridian) submit(spec string) orchestrator.RunView {
	m.site.t.Helper()
	res, err := m.Submit(context.Background(), orchestrator.SubmitRequest{
		Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Yes: true, Actor: "test",
	})
	if err != nil {
		m.site.t.Fatalf("submit: %v\n%+v", err, err)
	}
	return res.Runs[0]
}

// wait waits until a run has ended or awaits a yes, and returns it.
func (m *meridian) wait(run string) orchestrator.RunView { return m.site.rest(m, run) }

// done submits a spec and wants its run done.
func (m *meridian) done(spec string) orchestrator.RunView {
	m.site.t.Helper()
	return m.site.wantDone(m, m.submit(spec).ID)
}

// destroy destroys a database, approving exactly the plan that is shown.
func (m *meridian) destroy(name string) orchestrator.RunView {
	m.site.t.Helper()
	ctx := context.Background()
	v, err := m.Destroy(ctx, stacks.DefaultNamespace, name, "test")
	if err != nil {
		m.site.t.Fatalf("destroy %s: %v", name, err)
	}
	v = m.wait(v.ID)
	if v.Phase != stacks.PhaseAwaiting {
		m.site.t.Fatalf("destroy %s is %s, not awaiting: %s\n%s", name, v.Phase, v.Message, m.runLog(v.ID))
	}
	if v, err = m.Approve(ctx, v.ID, v.PlanDigest, "test"); err != nil {
		m.site.t.Fatalf("approve: %v", err)
	}
	v = m.wait(v.ID)
	if v.Phase != stacks.PhaseDone {
		m.site.t.Fatalf("destroy %s is %s: %s\n%s", name, v.Phase, v.Message, m.runLog(v.ID))
	}
	return v
}

// approve says yes to exactly the plan of v.
func (m *meridian) approve(v orchestrator.RunView) {
	m.site.t.Helper()
	if _, err := m.Approve(context.Background(), v.ID, v.PlanDigest, "test"); err != nil {
		m.site.t.Fatalf("approve %s: %v", v.ID, err)
	}
}

// servers lists the data directories of the PostgreSQL servers of the site that run.
func (m *meridian) servers() []string {
	var out []string
	for _, pid := range m.site.processes() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		args := strings.Split(string(cmdline), "\x00")
		if i := slices.Index(args, "-D"); i >= 0 && i+1 < len(args) && strings.HasSuffix(args[0], "/postgres") {
			out = append(out, args[i+1])
		}
	}
	return out
}

// wantSlots wants so many replication slots at a region.
func (m *meridian) wantSlots(region string, n int) {
	m.site.t.Helper()
	if got := m.query("orders", region, "select count(*) from pg_replication_slots"); got != fmt.Sprint(n) {
		m.site.t.Errorf("%s replication slots at %s, want %d", got, region, n)
	}
}

func (m *meridian) runLog(run string) string { return logOf(m, run) }

// query runs one query on a region's logical database as the application's user and returns its one value as text.
func (m *meridian) query(name, region, sql string) string {
	m.site.t.Helper()
	out, err := m.tryQuery(name, region, sql)
	if err != nil {
		m.site.t.Fatalf("%s in %s: %v", sql, region, err)
	}
	return out
}

func (m *meridian) tryQuery(name, region, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	v, err := m.Connect(ctx, orchestrator.ConnectRequest{Namespace: stacks.DefaultNamespace, Name: name, Region: region, Reveal: true, Actor: "test"})
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(v.URL, "mysql:") {
		return tryMySQL(v, sql)
	}
	conn, err := pgx.Connect(ctx, v.URL)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	out := ""
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return "", err
		}
		if len(values) > 0 {
			out = fmt.Sprint(values[0])
		}
	}
	return out, rows.Err()
}

// nothingLeft wants no process, directory or head of any database on the site, in a moment.
func (m *meridian) nothingLeft() {
	m.site.t.Helper()
	m.site.eventually("nothing is left", func() error { return errors.Join(m.left()...) })
}

func (m *meridian) left() (out []error) {
	ctx := context.Background()
	heads, err := m.journal.Heads(ctx, "")
	if out = append(out, err); len(heads) > 0 {
		out = append(out, fmt.Errorf("heads: %+v", heads))
	}
	dbs, err := m.Databases(ctx, "")
	if out = append(out, err); len(dbs) > 0 {
		out = append(out, fmt.Errorf("databases: %+v", dbs))
	}
	for _, pid := range m.site.processes() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if text := string(cmdline); strings.Contains(text, "postgres") || strings.Contains(text, "cassandra") || strings.Contains(text, "terraform") || strings.Contains(text, "runner") {
			out = append(out, fmt.Errorf("process %d: %q", pid, cmdline))
		}
	}
	for _, dir := range []string{"servers", "work", "spool"} {
		_ = filepath.WalkDir(filepath.Join(m.site.data, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				out = append(out, fmt.Errorf("file: %s", path))
			}
			return nil
		})
	}
	return out
}

// orders is the spec of the README with another name.
func orders(name string, change ...string) string {
	text, err := os.ReadFile("../../examples/orders.yaml")
	if err != nil {
		panic(err)
	}
	out := strings.Replace(string(text), "name: orders\n", "name: "+name+"\n", 1)
	for i := 0; i+1 < len(change); i += 2 {
		if !strings.Contains(out, change[i]) {
			panic("the example has no " + change[i])
		}
		out = strings.Replace(out, change[i], change[i+1], 1)
	}
	return out
}
