package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// LookSchemas says how each of Temporal's schemas is that the settings name, and changes nothing. SQLite's files and servers of somebody
// else have none of their own to look after.
func LookSchemas(ctx context.Context, s *Settings) (out []SchemaState, err error) {
	if s.External != nil {
		return nil, nil
	}
	for _, t := range placesOf(s) {
		state, err := look(ctx, t)
		if err != nil {
			return out, fmt.Errorf("temporal's %s in %s: %w", t.what(), t.where(), err)
		}
		out = append(out, state)
	}
	return out, nil
}

func look(ctx context.Context, t schemaPlace) (SchemaState, error) {
	db, err := t.connect(ctx)
	if err != nil {
		return SchemaState{}, err
	}
	defer db.Close()
	return db.examine(ctx)
}

// SetUpSchemas sets up what is absent or was cut short. What is older is left to UpgradeSchemas; what is newer, foreign or damaged is refused.
func SetUpSchemas(ctx context.Context, s *Settings, log *slog.Logger) error {
	return changeSchemas(ctx, s, log, StateAbsent, StatePartial)
}

// UpgradeSchemas brings what is older to this build's version. It is refused while a server runs on it.
func UpgradeSchemas(ctx context.Context, s *Settings, log *slog.Logger) error {
	states, err := LookSchemas(ctx, s)
	if err != nil {
		return err
	}
	for _, state := range states {
		if state.State == StateOlder {
			c, err := takeSole(ctx, targetsOf(s)[0].(claimer).claim(Options{Dir: "meridian persistence upgrade"}), states[0].Where)
			if errors.Is(err, errTaken) {
				return fmt.Errorf("an upgrade wants no server on the store: %w", err)
			}
			if err != nil {
				return err
			}
			defer c.release()
			break
		}
	}
	return changeSchemas(ctx, s, log, StateOlder)
}

// changeSchemas brings the schemas that are in one of the states, once none of them is refused.
func changeSchemas(ctx context.Context, s *Settings, log *slog.Logger, in ...string) error {
	if s.External != nil {
		return nil
	}
	places := placesOf(s)
	for _, change := range []bool{false, true} {
		for _, t := range places {
			if err := changeSchema(ctx, t, log, change, in); err != nil {
				return fmt.Errorf("temporal's %s in %s: %w", t.what(), t.where(), err)
			}
		}
	}
	return nil
}

func changeSchema(ctx context.Context, t schemaPlace, log *slog.Logger, change bool, in []string) error {
	db, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	state, err := db.examine(ctx)
	if err != nil {
		return err
	}
	for _, s := range in {
		if state.State == s {
			if change {
				return db.bring(ctx, newToolLogger(log))
			}
			return db.safe(ctx)
		}
	}
	return state.refusal()
}
