package temporal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/blang/semver/v4"
	"go.temporal.io/server/schema"
	tools "go.temporal.io/server/tools/common/schema"
)

// target is one of Temporal's schemas in one place.
type target interface {
	// what is in it: "state" or "lists".
	what() string
	// where it is, without any secret.
	where() string
	// assets is the folder of its schema among Temporal's embedded ones.
	assets() string
	// version is the one that this build of the server wants.
	version() string
	// open connects, and checks what can be checked before the schema is looked at.
	open(ctx context.Context) (schemaDB, error)
}

// schemaDB is a connection to a target.
type schemaDB interface {
	tools.DB
	// make makes what holds the tables (a schema, a keyspace) where it may and it is missing.
	make(ctx context.Context) error
	// tables lists the names of all tables there, sorted.
	tables(ctx context.Context) ([]string, error)
	// version is the recorded version and the oldest server's that it is good for; "" without one.
	version(ctx context.Context) (version, oldest string, err error)
	// checksum is the recorded checksum of the schema's files; "" without one.
	checksum(ctx context.Context) (string, error)
	// record writes the checksum.
	record(ctx context.Context, version, checksum string) error
	// lock keeps another process from changing the schema until unlock; it waits for one that does.
	lock(ctx context.Context) (unlock func(), err error)
	// safe says why the schema must not be changed now, nil where it may.
	safe(ctx context.Context) error
}

// The states of a schema.
const (
	StateAbsent  = "absent"  // there is nothing
	StatePartial = "partial" // a set-up was cut short
	StateOlder   = "older"   // an upgrade brings it here
	StateCurrent = "current" // as this build wants it
	StateNewer   = "newer"   // of a newer Meridian
	StateForeign = "foreign" // of something else
	StateDamaged = "damaged" // not what its version says
)

// SchemaState says how a schema is.
type SchemaState struct {
	// Part is what it is for: "catalog", "state" (Temporal's workflows) or "lists" (what can be searched of them).
	Part string `json:"part"`
	// Where it is, without any secret.
	Where string `json:"where"`
	State string `json:"state"`
	// Version is the one found, Want the one that this build needs.
	Version string `json:"version,omitempty"`
	Want    string `json:"want"`
	// Steps are the versions that lie between.
	Steps []string `json:"steps,omitempty"`
	// Detail says what is wrong, where something is.
	Detail string `json:"detail,omitempty"`
}

// recordTable is our own table beside Temporal's, with the checksum of what was set up.
const recordTable = "meridian_schema"

// examineSchema looks at a target and changes nothing.
func examineSchema(ctx context.Context, t target, db schemaDB) (SchemaState, error) {
	s := SchemaState{Part: t.what(), Where: t.where(), Want: t.version()}
	tables, err := db.tables(ctx)
	if err != nil {
		return s, fmt.Errorf("list tables: %w", err)
	}
	versioned := slices.Contains(tables, "schema_version")
	var oldest string
	if versioned {
		if s.Version, oldest, err = db.version(ctx); err != nil {
			return s, fmt.Errorf("read the schema's version: %w", err)
		}
	}
	switch {
	case len(tables) == 0 || len(tables) == 1 && tables[0] == recordTable:
		s.State = StateAbsent
	case !versioned:
		s.State, s.Detail = StateForeign, "there are tables that are not Temporal's: "+brief(tables)
	case s.Version == "" || s.Version == initialVersion:
		s.State = StatePartial
	default:
		return compareSchema(ctx, t, db, s, oldest, tables)
	}
	s.Steps, err = stepsBetween(t.assets(), initialVersion, s.Want)
	return s, err
}

// initialVersion is that of a schema without any step.
const initialVersion = "0.0"

func compareSchema(ctx context.Context, t target, db schemaDB, s SchemaState, oldest string, tables []string) (SchemaState, error) {
	have, err := semver.ParseTolerant(s.Version)
	if err != nil {
		s.State, s.Detail = StateForeign, "its version is "+s.Version
		return s, nil //nolint:nilerr // a version that cannot be read is not Temporal's
	}
	want := semver.MustParse(want3(s.Want))
	switch {
	case have.GT(want):
		s.State = StateNewer
		if least, err := semver.ParseTolerant(oldest); err != nil || least.GT(want) {
			s.Detail = "it is good for servers of schema " + oldest + " and newer alone"
		}
		return s, nil
	case have.LT(want):
		s.State = StateOlder
		s.Steps, err = stepsBetween(t.assets(), s.Version, s.Want)
		return s, err
	}
	s.State = StateCurrent
	sum, err := checksumOf(t.assets(), s.Version)
	if err != nil {
		return s, err
	}
	recorded, err := db.checksum(ctx)
	if err != nil {
		return s, fmt.Errorf("read the schema's checksum: %w", err)
	}
	if recorded != "" && recorded != sum {
		s.State, s.Detail = StateDamaged, "it was set up from other files than this build's, though they call themselves the same version"
	}
	var missing []string
	for _, name := range tablesOf(t.assets()) {
		if !slices.Contains(tables, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		s.State, s.Detail = StateDamaged, "tables are missing: "+brief(missing)
	}
	return s, nil
}

// want3 is a version of two numbers as semver writes it.
func want3(v string) string { return v + ".0" }

// usable says why a server must not start on the schema, nil where it may.
func (s SchemaState) usable() error {
	switch s.State {
	case StateCurrent:
		return nil
	case StateNewer:
		if s.Detail == "" {
			return nil // Temporal keeps a schema good for the server before it
		}
	case StateAbsent, StatePartial:
		return errors.New("it is not set up: run `meridian persistence setup`")
	case StateOlder:
		return fmt.Errorf("its schema has version %s, this meridian wants %s: stop every server and run `meridian persistence upgrade`", s.Version, s.Want)
	}
	return s.refusal()
}

// refusal says why nobody may change the schema, nil where setup or upgrade may.
func (s SchemaState) refusal() error {
	switch s.State {
	case StateNewer:
		return fmt.Errorf("its schema has version %s, newer than this meridian's %s (%s): run the newer meridian", s.Version, s.Want, s.Detail)
	case StateForeign:
		return fmt.Errorf("%s: name another schema or keyspace, or an empty one", s.Detail)
	case StateDamaged:
		return fmt.Errorf("%s: name an empty schema or keyspace, where everything is brought back from the catalog", s.Detail)
	}
	return nil
}

// bring sets a target up or upgrades it, from whatever state it was left in, and records what it did. Of two processes that do, one
// waits for the other and finds it done.
func bring(ctx context.Context, t target, db schemaDB, log toolLogger) error {
	if err := db.safe(ctx); err != nil {
		return err
	}
	if err := db.make(ctx); err != nil {
		return err
	}
	unlock, err := db.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := examineSchema(ctx, t, db)
	if err != nil {
		return err
	}
	if err := s.refusal(); err != nil {
		return err
	}
	if s.State == StateAbsent || s.State == StatePartial {
		err = log.run(func() error {
			return tools.NewSetupSchemaTask(db, &tools.SetupConfig{SchemaName: t.assets(), InitialVersion: t.version()}, log).Run()
		})
		if err != nil {
			return fmt.Errorf("set up the schema: %w", err)
		}
	}
	if s.State == StateOlder {
		err = log.run(func() error {
			return tools.NewUpdateSchemaTask(db, &tools.UpdateConfig{DBName: t.where(), SchemaName: t.assets(), TargetVersion: t.version()}, log).Run()
		})
		if err != nil {
			return fmt.Errorf("bring the schema to version %s: %w", t.version(), err)
		}
	}
	sum, err := checksumOf(t.assets(), t.version())
	if err != nil {
		return err
	}
	if err := db.record(ctx, t.version(), sum); err != nil {
		return fmt.Errorf("record the schema's checksum: %w", err)
	}
	return nil
}

// stepsBetween lists the versions after one and up to another.
func stepsBetween(assets, after, upTo string) ([]string, error) {
	entries, err := fs.ReadDir(schema.Assets(), path.Join(assets, "versioned"))
	if err != nil {
		return nil, fmt.Errorf("temporal's schema %s: %w", assets, err)
	}
	low, err := semver.ParseTolerant(after)
	if err != nil {
		return nil, fmt.Errorf("version %q of temporal's schema %s: %w", after, assets, err)
	}
	high := semver.MustParse(want3(upTo))
	var found []semver.Version
	for _, e := range entries {
		v, err := semver.ParseTolerant(strings.TrimPrefix(e.Name(), "v"))
		if err == nil && v.GT(low) && v.LTE(high) {
			found = append(found, v)
		}
	}
	semver.Sort(found)
	out := make([]string, len(found))
	for i, v := range found {
		out[i] = fmt.Sprintf("%d.%d", v.Major, v.Minor)
	}
	return out, nil
}

// checksumOf is the SHA-256 of the files of all versions up to one.
func checksumOf(assets, version string) (string, error) {
	steps, err := stepsBetween(assets, initialVersion, version)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, step := range steps {
		err := fs.WalkDir(schema.Assets(), path.Join(assets, "versioned", "v"+step), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(schema.Assets(), name)
			fmt.Fprintf(sum, "%s\x00%d\x00%s", name, len(text), text)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("temporal's schema %s: %w", assets, err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

var createTable = regexp.MustCompile(`(?im)^\s*CREATE TABLE (?:IF NOT EXISTS )?([a-z_0-9]+)`)

// tablesOf lists the tables of a whole schema.
func tablesOf(assets string) (out []string) {
	for _, name := range []string{"schema.sql", "schema.cql"} {
		text, _ := fs.ReadFile(schema.Assets(), path.Join(assets, name)) // one of the two is there
		for _, m := range createTable.FindAllSubmatch(text, -1) {
			out = append(out, string(m[1]))
		}
	}
	return out
}

// brief lists the first few names.
func brief(names []string) string {
	const few = 5
	if len(names) > few {
		return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", len(names)-few)
	}
	return strings.Join(names, ", ")
}

// lockWait bounds the wait for another process that changes the schema.
const lockWait = 5 * time.Minute
