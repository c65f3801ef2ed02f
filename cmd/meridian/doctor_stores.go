package main

import (
	"context"
	"errors"
	"fmt"

	"meridian/persistence/store"
	"meridian/persistence/temporal"
)

// examineStores looks at what holds catalog, journal and Temporal's state, where a settings file or a flag says something of it.
func examineStores(ctx context.Context, dir, config, flag string) (out []finding) {
	set, err := loadSettings(config)
	if err != nil {
		return []finding{failed("settings", err, "docs/persistence.md describes the settings")}
	}
	where, err := set.where(ctx, flag, dir)
	if err != nil {
		return []finding{failed("store", err, "mend that: a server would not start")}
	}
	out = append(out, examineStore(ctx, where))
	out = append(out, asFindings(temporal.Preflight(ctx, temporal.Options{Dir: dir, Settings: set.Temporal}))...)
	var rows *temporal.Postgres
	if where != dir {
		rows = &temporal.Postgres{URL: where}
		if set.Store != nil && set.Store.Postgres != nil { // its password may come from a command
			rows = &temporal.Postgres{URL: set.Store.Postgres.URL, Password: set.Store.Postgres.Password}
		}
	}
	return append(out, asFindings(temporal.AdvisePostgres(ctx, rows, &set.Temporal))...)
}

// examineStore looks at the tables of catalog and journal.
func examineStore(ctx context.Context, where string) finding {
	s, err := store.LookSchema(ctx, where)
	if err != nil {
		return failed("store", err, "mend that: a server would not start")
	}
	state := catalogState(s)
	f := finding{Check: "store", State: temporal.FindingOK, What: fmt.Sprintf("%s: %s", state.Where, state.State)}
	switch state.State {
	case temporal.StateCurrent:
		f.What = fmt.Sprintf("%s: version %s", state.Where, state.Version)
	case temporal.StateAbsent:
		f.What += "; the first start makes its tables"
	case temporal.StateOlder:
		f.State, f.What, f.Next = temporal.FindingWarn, f.What+"; the next start upgrades it", "take a backup before: tables do not go back"
	default:
		f.State, f.Next = temporal.FindingFail, whatNext(state)
		f.What += ": " + state.Detail
	}
	return f
}

// failed is what doctor says of an error; one that says itself what to do next says it here.
func failed(check string, err error, next string) finding {
	var own *exitError
	if errors.As(err, &own) && own.Next != "" {
		return finding{Check: check, State: temporal.FindingFail, What: own.What, Next: own.Next}
	}
	return finding{Check: check, State: temporal.FindingFail, What: err.Error(), Next: next}
}

func asFindings(in []temporal.Finding) []finding {
	out := make([]finding, len(in))
	for i, f := range in {
		out[i] = finding(f)
	}
	return out
}
