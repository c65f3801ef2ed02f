package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// witness looks at the world of one database, and remembers what it saw.
type witness struct {
	*suite
	name        string
	incarnation string
	foreign     string            // the word that stands for the incarnation in paths, of a database that somebody else's module makes
	births      map[string]string // what tells an object from a later one of the same path
	rows        int
}

// settles is how long the world may take to be as it should: a killed process is a zombie for a while, a link is behind.
const settles = 60 * time.Second

// eventually asks until there is nothing to say; what is said last is a flaw of the kind.
func (w *witness) eventually(ctx context.Context, kind string, look func() []string) error {
	begin := time.Now()
	for {
		texts := look()
		if len(texts) == 0 {
			return nil
		}
		if time.Since(begin) > settles {
			for _, text := range texts {
				w.found(flaw{kind, w.name + ": " + text})
			}
			return nil
		}
		if !pause(ctx, retryEvery) {
			return context.Cause(ctx)
		}
	}
}

// look judges the world after an apply is done: every object is there once and is the one it was, and every row is there.
func (w *witness) look(ctx context.Context, round int) error {
	for _, region := range w.regions() {
		home := w.home(w.name, w.incarnation, region)
		if err := w.eventually(ctx, "lost", func() []string { return w.objects(home) }); err != nil {
			return err
		}
		if err := w.eventually(ctx, "duplicates", func() []string { return w.twice(home) }); err != nil {
			return err
		}
		if round == 0 || w.foreign != "" {
			continue // the table is made after this look
		}
		if err := w.eventually(ctx, "lost", func() []string { return w.counts(ctx, region) }); err != nil {
			return err
		}
	}
	if w.foreign != "" {
		return nil
	}
	if err := w.eventually(ctx, "orphans", func() []string { return w.slots(ctx) }); err != nil {
		return err
	}
	var db database
	if err := w.client.read(ctx, "/databases/default/"+w.name, &db); err != nil {
		return fmt.Errorf("its links: %w", err)
	}
	if len(db.Links) != 1 || db.Links[0].Phase != "verified" {
		w.found(flaw{"lost", fmt.Sprintf("%s: its links are %+v", w.name, db.Links)})
	}
	return nil
}

// regions are those of the witness's database.
func (w *witness) regions() []string {
	if w.foreign != "" {
		return []string{foreignRegion}
	}
	return regions
}

// home is where a region's server lives, or what the paths of its directories begin with where it has none.
func (s *suite) home(name, incarnation, region string) string {
	return filepath.Join(s.Data, "servers", strings.Join([]string{"default", name, s.ledger.wordOf(incarnation), region}, "."))
}

// objects says what of a stack is not there, or is another one than it was.
func (w *witness) objects(home string) (out []string) {
	births := map[string]func() (string, error){}
	if w.foreign == "" {
		births[home] = func() (string, error) { return clusterBirth(home) }
	} else {
		births[home] = func() (string, error) { return identity(home) }
	}
	for n := range w.Directories {
		path := fmt.Sprintf("%s.beside.%02d", home, n+1)
		births[path] = func() (string, error) { return markBirth(path) }
	}
	for path, birth := range births {
		now, err := birth()
		switch {
		case err != nil:
			out = append(out, fmt.Sprintf("%s: %v", path, err))
		case w.births[path] == "":
			w.births[path] = now
		case w.births[path] != now:
			out = append(out, path+" is another one than it was: what was in it is lost")
		}
	}
	slices.Sort(out)
	return out
}

// mark is what a directory says of itself.
type mark struct{ Birth, Note string }

func readMark(path string) (m mark, err error) {
	text, err := os.ReadFile(filepath.Join(path, "meridian.json"))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Birth == "" {
		return m, fmt.Errorf("its mark %q: %w", text, err)
	}
	return m, nil
}

// markBirth reads what tells a directory from a later one.
func markBirth(path string) (string, error) {
	m, err := readMark(path)
	return m.Birth, err
}

// clusterBirth reads what PostgreSQL calls a cluster and no other: the first eight bytes of its control file.
func clusterBirth(home string) (string, error) {
	text, err := os.ReadFile(filepath.Join(home, "data", "global", "pg_control"))
	if err != nil || len(text) < 8 {
		return "", fmt.Errorf("its control file has %d bytes: %w", len(text), err)
	}
	return fmt.Sprintf("%x", text[:8]), nil
}

// twice says which server runs more often than once, and what stands beside it that nobody asked for.
func (w *witness) twice(home string) (out []string) {
	running := 0
	for _, p := range processes(w.Data) {
		if i := slices.Index(p.args, "-D"); i >= 0 && i+1 < len(p.args) && strings.HasPrefix(p.args[i+1], home+"/") && filepath.Base(p.args[0]) == "postgres" {
			running++
		}
	}
	servers := 1
	if w.foreign != "" {
		servers = 0
	}
	if running != servers {
		out = append(out, fmt.Sprintf("%d servers run in %s, want %d", running, home, servers))
	}
	beside, _ := filepath.Glob(home + "*")
	if len(beside) != servers+w.Directories {
		out = append(out, fmt.Sprintf("%d directories, want %d: %v", len(beside), servers+w.Directories, beside))
	}
	return out
}

// query runs one query in a region as the application's user, and returns its one value.
func (w *witness) query(ctx context.Context, region, sql string) (out int, err error) {
	url, err := w.client.connect(ctx, w.name, region)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	return out, conn.QueryRow(ctx, sql).Scan(&out)
}

// perRound is how many rows each round adds.
const perRound = 100

// write adds rows in the first region, after the database is ready. An answer may be lost; then the rows may be there or not.
func (w *witness) write(ctx context.Context, round int) error {
	sql := fmt.Sprintf(`WITH made AS (INSERT INTO kept SELECT g FROM generate_series(%d, %d) g ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM made`,
		round*perRound+1, (round+1)*perRound)
	if round == 0 {
		_, err := w.query(ctx, regions[0], `DO $$ BEGIN CREATE TABLE IF NOT EXISTS kept (id int PRIMARY KEY); END $$`)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("make a table: %w", err)
		}
	}
	n, err := w.query(ctx, regions[0], sql)
	if err != nil || n != perRound {
		return fmt.Errorf("write %d rows, have %d: %w", perRound, n, err)
	}
	w.rows += n
	return nil
}

// counts says whether rows are missing in a region.
func (w *witness) counts(ctx context.Context, region string) []string {
	n, err := w.query(ctx, region, "SELECT count(*) FROM kept")
	if err != nil {
		return []string{fmt.Sprintf("rows of %s: %v", region, err)}
	}
	if n != w.rows {
		return []string{fmt.Sprintf("%d rows in %s, want %d", n, region, w.rows)}
	}
	return nil
}

// slots says whether a region has another number of replication slots than its one link needs.
func (w *witness) slots(ctx context.Context) (out []string) {
	for i, region := range regions {
		want := 1 - i
		if n, err := w.query(ctx, region, "SELECT count(*) FROM pg_replication_slots"); err != nil || n != want {
			out = append(out, fmt.Sprintf("%d replication slots in %s, want %d: %v", n, region, want, err))
		}
	}
	return out
}

// gone judges the world after a destroy is done: nothing of the database is left.
func (w *witness) gone(ctx context.Context) error {
	word := w.ledger.wordOf(w.incarnation)
	return w.eventually(ctx, "orphans", func() (out []string) {
		for _, p := range processes(w.Data) {
			if slices.ContainsFunc(p.args, func(a string) bool { return strings.Contains(a, w.incarnation) }) || strings.Contains(p.dir, w.incarnation) {
				out = append(out, fmt.Sprintf("process %d: %s", p.pid, strings.Join(p.args, " ")))
			}
		}
		for _, root := range w.roots() {
			out = append(out, filesOf(filepath.Join(root, "servers"), word)...)
			for _, dir := range []string{"work", "spool"} {
				out = append(out, filesOf(filepath.Join(root, dir), w.incarnation)...)
			}
		}
		return out
	})
}

// filesOf lists what below a directory has an incarnation in its path: files, and directories that are objects.
func filesOf(root, incarnation string) (out []string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, incarnation) && (!d.IsDir() || filepath.Dir(path) == root) {
			out = append(out, path)
		}
		return nil
	})
	return out
}

// final judges the whole ledger and the whole site, after the last database is gone.
func (s *suite) final(ctx context.Context) {
	entries, err := s.ledger.read()
	if err != nil {
		s.found(flaw{"lost", err.Error()})
	}
	s.mu.Lock()
	mayGo := s.mayGo
	given := s.given
	s.mu.Unlock()
	for _, f := range judge(entries, func(e entry) bool {
		since, ok := mayGo[e.stack]
		return ok && e.At.After(since)
	}) {
		s.found(f)
	}
	w := &witness{suite: s, name: "the site"}
	_ = w.eventually(ctx, "orphans", func() (out []string) {
		for _, p := range processes(s.Data) {
			if p.role == RoleServer || p.role == RoleWorker || ofGivenUp(p, given) {
				continue
			}
			out = append(out, fmt.Sprintf("process %d: %s", p.pid, strings.Join(p.args, " ")))
		}
		return out
	})
}

// ofGivenUp reports whether a process belongs to a database that was given up.
func ofGivenUp(p process, given map[string]bool) bool {
	for incarnation := range given {
		if incarnation != "" && (strings.Contains(strings.Join(p.args, " "), incarnation) || strings.Contains(p.dir, incarnation)) {
			return true
		}
	}
	return false
}
