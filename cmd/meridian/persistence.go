package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"meridian/persistence/store"
	"meridian/persistence/temporal"
)

const persistenceVerbs = "a verb: plan, setup, upgrade, verify or migrate"

func newPersistence(a *app) *cobra.Command {
	c := &cobra.Command{Use: "persistence", Short: "Set up, upgrade, verify or move what must survive a restart", Args: arguments(0, 0, persistenceVerbs)}
	c.RunE = func(*cobra.Command, []string) error {
		return &exitError{Code: exitFailed, What: "meridian persistence wants " + persistenceVerbs, Next: "see `meridian persistence --help`"}
	}
	c.AddCommand(newPersistencePlan(a), newPersistenceSetup(a), newPersistenceUpgrade(a), newPersistenceVerify(a), newPersistenceMigrate(a))
	return c
}

// schemaPlace is what the verbs work on.
type schemaPlace struct {
	data     string
	store    string
	settings settings
}

type schemaFlags struct {
	config, store string
	logFlags
}

func (f *schemaFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "", "the server's settings file (MERIDIAN_CONFIG)")
	c.Flags().StringVar(&f.store, "store", "", "the server's store, where it is not in the data directory: as for the server (MERIDIAN_STORE)")
	f.logFlags.register(c)
}

// place finds what the verbs work on.
func (f *schemaFlags) place(ctx context.Context, a *app) (p schemaPlace, err error) {
	if p.data, err = a.dataDir(); err != nil {
		return p, err
	}
	if p.settings, err = loadSettings(f.config); err != nil {
		return p, err
	}
	p.store, err = p.settings.where(ctx, f.store, p.data)
	return p, err
}

// look says how each schema is; it changes nothing.
func (p *schemaPlace) look(ctx context.Context) ([]temporal.SchemaState, error) {
	s, err := store.LookSchema(ctx, p.store)
	if err != nil {
		return nil, err
	}
	out := []temporal.SchemaState{catalogState(s)}
	if p.settings.Temporal.External != nil {
		return out, nil
	}
	rest, err := temporal.LookSchemas(ctx, &p.settings.Temporal)
	return append(out, rest...), err
}

// catalogState is how our own tables are, in the words of the others.
func catalogState(s store.Schema) temporal.SchemaState {
	out := temporal.SchemaState{Part: "catalog", Where: s.Where, Want: fmt.Sprint(s.Want)}
	if s.Version > 0 {
		out.Version = fmt.Sprint(s.Version)
	}
	for v := s.Version + 1; v <= s.Want; v++ {
		out.Steps = append(out.Steps, fmt.Sprint(v))
	}
	switch {
	case s.Foreign:
		out.State, out.Detail = temporal.StateForeign, "there are tables of our names that are not Meridian's"
	case s.Version == 0:
		out.State = temporal.StateAbsent
	case s.Version > s.Want:
		out.State, out.Detail = temporal.StateNewer, "a newer Meridian made it"
	case s.Changed:
		out.State, out.Detail = temporal.StateDamaged, "it was made from other files than this build's"
	case s.Version < s.Want:
		out.State = temporal.StateOlder
	default:
		out.State = temporal.StateCurrent
	}
	return out
}

// whatNext is what a person does about a state, "" where nothing has to be done.
func whatNext(s temporal.SchemaState) string {
	switch s.State {
	case temporal.StateAbsent, temporal.StatePartial:
		return "meridian persistence setup"
	case temporal.StateOlder:
		return "stop every server, then meridian persistence upgrade"
	case temporal.StateNewer:
		return "run the newer meridian"
	case temporal.StateForeign, temporal.StateDamaged:
		return "name another schema, keyspace or data directory"
	}
	return ""
}

func (a *app) printSchemas(states []temporal.SchemaState) error {
	return a.print(list(states), func(t *table) {
		t.row("PART", "STATE", "VERSION", "WANT", "STEPS", "WHERE")
		for _, s := range states {
			t.row(s.Part, s.State, s.Version, s.Want, fmt.Sprint(len(s.Steps)), s.Where)
		}
		for _, s := range states {
			if next := whatNext(s); next != "" {
				detail := s.Detail
				if detail == "" {
					detail = s.State
				}
				t.line("%s: %s; next: %s", s.Part, detail, next)
			}
		}
	})
}

func newPersistencePlan(a *app) *cobra.Command {
	return newSchemaLook(a, &cobra.Command{Use: "plan", Short: "Say what setup or upgrade would do, and change nothing"}, func(p schemaPlace, _ []temporal.SchemaState) error {
		if p.settings.Temporal.Store == temporal.StoreAstra {
			a.progress("%s", temporal.AstraSteps)
		}
		return nil
	})
}

func newPersistenceVerify(a *app) *cobra.Command {
	return newSchemaLook(a, &cobra.Command{
		Use:   "verify",
		Short: "Compare versions, checksums and tables with what this build wants",
		Long:  "Compare versions, checksums and tables with what this build wants. It ends with 2 where something differs, and changes nothing.",
	}, func(_ schemaPlace, states []temporal.SchemaState) error {
		for _, s := range states {
			if s.State != temporal.StateCurrent {
				return &exitError{Code: exitChanges}
			}
		}
		return nil
	})
}

// newSchemaLook is a verb that looks at all schemas, says how they are, and ends as judge says.
func newSchemaLook(a *app, c *cobra.Command, judge func(schemaPlace, []temporal.SchemaState) error) *cobra.Command {
	var f schemaFlags
	c.Args = arguments(0, 0, "no arguments")
	c.RunE = func(c *cobra.Command, _ []string) error {
		p, err := f.place(c.Context(), a)
		if err != nil {
			return err
		}
		states, err := p.look(c.Context())
		if err != nil {
			return err
		}
		if err := a.printSchemas(states); err != nil {
			return err
		}
		return judge(p, states)
	}
	f.register(c)
	return c
}

func newPersistenceSetup(a *app) *cobra.Command {
	return newSchemaChange(a, &cobra.Command{
		Use:   "setup",
		Short: "Make the tables of store and Temporal where there are none",
		Long: `Make the tables of store and Temporal where there are none. It may be repeated, run on two machines at once, and be killed: the next
one goes on. It changes nothing where a schema is older (that is upgrade's), newer or foreign, or a node of Cassandra is down.`,
	}, temporal.SetUpSchemas, func(s temporal.SchemaState) bool {
		return s.State == temporal.StateAbsent || s.State == temporal.StatePartial
	})
}

func newPersistenceUpgrade(a *app) *cobra.Command {
	return newSchemaChange(a, &cobra.Command{
		Use:   "upgrade",
		Short: "Bring older tables to this build's version, while no server runs",
		Long: `Bring older tables of store and Temporal to this build's version, while no server runs on them. It may be repeated and be killed: the
next one goes on. Take a backup before: tables do not go back.`,
	}, temporal.UpgradeSchemas, func(s temporal.SchemaState) bool { return s.State == temporal.StateOlder })
}

// newSchemaChange is the verb that changes the schemas for which wants says so, first Temporal's, which may be refused, then ours.
func newSchemaChange(
	a *app, c *cobra.Command, change func(context.Context, *temporal.Settings, *slog.Logger) error, wants func(temporal.SchemaState) bool,
) *cobra.Command {
	var f schemaFlags
	var dryRun bool
	c.Args = arguments(0, 0, "no arguments")
	c.RunE = func(c *cobra.Command, _ []string) error {
		logger, err := f.logger(a)
		if err != nil {
			return err
		}
		p, err := f.place(c.Context(), a)
		if err != nil {
			return err
		}
		states, err := p.look(c.Context())
		if err != nil {
			return err
		}
		if dryRun {
			return a.printSchemas(states)
		}
		if err := p.change(c.Context(), states[0], wants(states[0]), func() error { return change(c.Context(), &p.settings.Temporal, logger) }); err != nil {
			return err
		}
		if states, err = p.look(c.Context()); err != nil {
			return err
		}
		return a.printSchemas(states)
	}
	f.register(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done, like plan")
	return c
}

// change changes Temporal's schemas and then, where ours is wanted too, ours.
func (p *schemaPlace) change(ctx context.Context, ours temporal.SchemaState, wanted bool, temporals func() error) error {
	switch ours.State {
	case temporal.StateForeign, temporal.StateNewer, temporal.StateDamaged:
		return &exitError{Code: exitRefused, What: fmt.Sprintf("catalog in %s is %s: %s", ours.Where, ours.State, ours.Detail), Next: whatNext(ours)}
	}
	if wanted && p.store == p.data {
		if err := makeDataDir(p.data); err != nil {
			return err
		}
		unlock, err := lockDataDir(p.data)
		if err != nil {
			return err
		}
		defer unlock()
	}
	if err := temporals(); err != nil {
		return &exitError{Code: exitRefused, What: err.Error(), Next: "mend that and run it again: what is done stays done"}
	}
	if !wanted {
		return nil
	}
	st, err := store.Open(ctx, p.store)
	if err != nil {
		return err
	}
	return st.Close()
}
