package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/stacks"
)

// world is everything that Meridian is responsible for, as lines that are the same for two lives of the same story: rows, heads, steps,
// files, servers, what the plugin did, and what is inside of each server. It is taken once nothing of the last run is at work any more.
func (m *meridian) world(name string) []string {
	m.site.t.Helper()
	m.atRest()
	w := &world{m: m}
	w.rows(name)
	w.files()
	for _, home := range m.servers() {
		w.add("server of %s", regionOf(filepath.Dir(home)))
	}
	for region, ops := range m.site.ops() {
		w.add("plugin in %s: %s", region, ops)
	}
	for _, region := range w.regions {
		w.inside(region)
	}
	slices.Sort(w.lines)
	return w.lines
}

// atRest waits until neither a runner nor a terraform is at work on the site.
func (m *meridian) atRest() {
	m.site.t.Helper()
	m.site.eventually("runners and terraforms end", func() error {
		for _, pid := range m.site.processes() {
			p, ok := readProc(pid)
			if ok && (strings.Contains(p.args, "meridian-runner") || strings.Contains(p.args, "terraform")) {
				return fmt.Errorf("process %d: %s", pid, p.args)
			}
		}
		return nil
	})
}

type world struct {
	m           *meridian
	incarnation string
	provisional []string // of checks of a database that is yet to come
	regions     []stacks.StackID
	lines       []string
}

// hashed are the parts of names that are made from an incarnation.
var hashed = regexp.MustCompile(`_([0-9a-f]{16}|[0-9a-f]{8})(\b|_)`)

// checks are the IDs of checks for drift.
var checks = regexp.MustCompile(`INCARNATION-drift-[a-z0-9]+`)

func (w *world) add(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if w.incarnation != "" {
		line = checks.ReplaceAllString(strings.ReplaceAll(line, w.incarnation, "INCARNATION"), "INCARNATION-drift-CHECK")
	}
	for _, id := range w.provisional {
		line = strings.ReplaceAll(line, id, "PROVISIONAL")
	}
	line = hashed.ReplaceAllString(strings.ReplaceAll(line, w.m.site.data, "DATA"), "_HASH$2")
	w.lines = append(w.lines, line)
}

func (w *world) must(err error) {
	w.m.site.t.Helper()
	if err != nil {
		w.m.site.t.Fatalf("looking at the world: %v", err)
	}
}

// rows reads catalog and journal.
func (w *world) rows(name string) {
	ctx := context.Background()
	runs, err := w.m.catalog.Runs(ctx, catalog.RunFilter{Namespace: stacks.DefaultNamespace, Name: name})
	w.must(err)
	for _, r := range runs {
		if r.Kind != stacks.RunCheck {
			w.incarnation = r.Incarnation
		}
	}
	for _, r := range runs {
		if r.Incarnation != w.incarnation { // the steps of a check stay as its log
			w.provisional = append(w.provisional, r.Incarnation)
		}
	}
	for _, r := range runs {
		w.add("run %d: %s %s of revision %d, cancel %t, reason %q", r.Number, r.Kind, r.Phase, r.Revision, r.Cancel, r.Reason)
		for _, x := range r.Regions {
			w.add("run %d (%s) in %s: %s, destroy %t, planned %d times again, serial %d", r.Number, r.Kind, x.Region, x.Phase, x.Destroy, x.Plans, x.StateSerial)
		}
	}
	dbs, err := w.m.catalog.Databases(ctx, "")
	w.must(err)
	for _, d := range dbs {
		w.add("database %s/%s is %s, revision %d, applied %d, active run %q, last run %d, unmanaged %v", d.Namespace, d.Name, d.Phase, d.Revision, d.Applied, d.ActiveRun, d.LastRun, d.Unmanaged)
	}
	heads, err := w.m.journal.Heads(ctx, "")
	w.must(err)
	for _, h := range heads {
		w.regions = append(w.regions, h.Stack)
		w.add("head of %s is %s, fence %d, serial %d, desired %q", h.Stack.Region, h.Status, h.Fence.Number, h.Serial, h.Desired)
	}
	links, err := w.m.catalog.Links(ctx, w.incarnation)
	w.must(err)
	for _, l := range links {
		w.add("link %s is %s, by run %d, measured %t", l.Name, l.Phase, l.RunNumber, l.Lag > 0 && l.VerifiedAt != nil)
	}
	w.must(w.m.store.Read(ctx, func(tx *store.Tx) error {
		for what, query := range map[string]string{
			"step":      "SELECT s.id || ' ' || coalesce(r.outcome, 'without a result') FROM steps s LEFT JOIN results r ON r.step = s.id",
			"secret":    "SELECT incarnation || ' ' || name FROM secrets",
			"placement": "SELECT stack FROM placements",
			"endpoint":  "SELECT stack FROM endpoints",
			"approval":  "SELECT run || ' dropped ' || dropped FROM approvals",
			"artifact":  "SELECT id FROM artifacts",
			"audit":     "SELECT verb || ' ' || subject FROM audit WHERE verb <> 'reveal'",
		} {
			texts, err := column(tx, query)
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			for _, text := range texts {
				w.add("%s %s", what, text)
			}
		}
		return nil
	}))
	for _, id := range w.steps(ctx) {
		res, err := w.m.journal.Result(ctx, id)
		w.must(err)
		w.add("step %s: %d launches, exit %d", id, res.Launches, res.ExitCode)
	}
}

func (w *world) steps(ctx context.Context) (ids []string) {
	w.must(w.m.store.Read(ctx, func(tx *store.Tx) (err error) {
		ids, err = column(tx, "SELECT step FROM results")
		return err
	}))
	return ids
}

func column(tx *store.Tx, query string) ([]string, error) {
	rows, err := tx.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, rows.Err()
}

// files lists what attempts have on the site.
func (w *world) files() {
	for _, dir := range []string{"work", "spool", "check", "locks"} {
		_ = filepath.WalkDir(filepath.Join(w.m.site.data, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				w.add("file %s", path)
			}
			return nil
		})
	}
}

// admin connects to a database of a region as its administrator.
func (m *meridian) admin(id stacks.StackID, database string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e, err := m.catalog.Endpoint(ctx, id)
	if err != nil {
		return nil, err
	}
	password, err := m.catalog.Secret(ctx, id.Incarnation, e.Secret)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(e.User, password), Host: e.Host + ":" + strconv.Itoa(e.Port), Path: database, RawQuery: "sslmode=disable"}
	return pgx.Connect(ctx, u.String())
}

// Queries of one column each. Only what Meridian or its users made is listed.
var (
	inServer = map[string]string{
		"role":     `SELECT rolname || ' login ' || rolcanlogin || ' super ' || rolsuper || ' replication ' || rolreplication FROM pg_roles WHERE rolname !~ '^pg_'`,
		"database": `SELECT datname || ' of ' || datdba::regrole || ' ' || coalesce(datacl::text, '') FROM pg_database WHERE NOT datistemplate`,
		"slot":     `SELECT slot_name || ' ' || coalesce(plugin, '') || ' of ' || coalesce(database, '') FROM pg_replication_slots`,
		"sub":      `SELECT s.subname || ' in ' || d.datname || ' enabled ' || s.subenabled || ' slot ' || coalesce(s.subslotname, '-') || ' ' || s.subpublications::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid`,
		"origins":  `SELECT count(*)::text FROM pg_replication_origin`,
		"setting":  `SELECT name || ' = ' || setting FROM pg_settings WHERE name IN ('max_connections', 'wal_level', 'max_replication_slots')`,
	}
	inDatabase = map[string]string{
		"publication": `SELECT pubname || ' ' || pubowner::regrole || ' all ' || puballtables FROM pg_publication`,
		"published":   `SELECT pubname || ' ' || schemaname || '.' || tablename FROM pg_publication_tables`,
		"copied":      `SELECT s.subname || ' ' || r.srrelid::regclass || ' ' || r.srsubstate::text FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid`,
		"schema":      `SELECT nspname || ' of ' || nspowner::regrole FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`,
		"table":       `SELECT oid::regclass || ' of ' || relowner::regrole FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'`,
		"rows":        `SELECT t.oid::regclass || ' ' || (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM ' || t.oid::regclass, false, true, '')))[1]::text FROM pg_class t WHERE t.relkind = 'r' AND t.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'`,
	}
)

// inside lists what is in a region's server.
func (w *world) inside(id stacks.StackID) {
	w.m.site.t.Helper()
	if _, err := w.m.catalog.Endpoint(context.Background(), id); err != nil {
		w.add("%s answers nowhere", id.Region)
		return
	}
	w.ask(id, "postgres", inServer)
	w.ask(id, "orders", inDatabase)
	w.ask(id, "postgres", map[string]string{"run number": `SELECT number::text FROM meridian.fence`})
}

func (w *world) ask(id stacks.StackID, database string, queries map[string]string) {
	w.m.site.t.Helper()
	conn, err := w.m.admin(id, database)
	w.must(err)
	defer conn.Close(context.Background())
	for what, query := range queries {
		rows, err := conn.Query(context.Background(), query)
		w.must(err)
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		w.must(err)
		for _, text := range texts {
			w.add("%s: %s %s", id.Region, what, text)
		}
	}
}

// difference tells two worlds apart, line by line; it is empty where they are the same.
func difference(want, got []string) string {
	var b strings.Builder
	for _, l := range want {
		if !slices.Contains(got, l) {
			fmt.Fprintln(&b, "missing:", l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			fmt.Fprintln(&b, "too much:", l)
		}
	}
	if b.Len() == 0 && len(want) != len(got) {
		fmt.Fprintf(&b, "%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	return b.String()
}
