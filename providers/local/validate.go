package local

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"meridian/providers/local/server"
	"meridian/stacks"
)

// programs are the parameters whose value is a command line: whoever may write a spec does not thereby run programs on this machine.
var programs = []string{"archive_cleanup_command", "archive_command", "archive_library", "recovery_end_command", "restore_command", "ssl_passphrase_command"}

// least is what replication between regions takes at the least.
var least = map[string]int{"max_wal_senders": 4, "max_replication_slots": 4, "max_worker_processes": 4, "max_logical_replication_workers": 2, "max_connections": 10}

// ValidateRegion checks location, engine and parameters. A version that is not here is EngineVersions' to tell.
func (p *Provider) ValidateRegion(ctx context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	var ds []stacks.Diagnostic
	if region.Location != "" && region.Location != Name {
		ds = append(ds, refuse("location.unknown", regionField(db, region.Name)+".location", "leave it out",
			fmt.Sprintf("provider local has no location %q", region.Location)))
	}
	e, err := p.engine(db.Spec.Engine.Name)
	if err != nil {
		return append(ds, refuse("engine.unsupported", "spec.engine.name", "use "+strings.Join(p.engineNames(), " or "), fmt.Sprintf("provider local does not run engine %q", db.Spec.Engine.Name)))
	}
	return append(ds, e.validate(ctx, db, region)...)
}

// validate checks that PostgreSQL is here, and the parameters.
func (p postgres) validate(ctx context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	var ds []stacks.Diagnostic
	found, err := p.cfg.Find(ctx)
	if err != nil || len(found) == 0 {
		return append(ds, refuse("provider.unready", regionField(db, region.Name)+".provider",
			"install PostgreSQL, or name its bin directory in "+server.EnvBinaries, "provider local finds no PostgreSQL on this machine"))
	}
	asked := db.Spec.Engine.Version
	if asked == "" {
		asked = found[0].Version
	}
	b, err := server.Resolve(found, asked)
	if err != nil {
		return ds // said once, by whoever compares versions
	}
	return append(ds, checkParameters(ctx, b, db.Spec.Engine.Parameters)...)
}

func checkParameters(ctx context.Context, b server.Binaries, parameters map[string]string) []stacks.Diagnostic {
	if len(parameters) == 0 {
		return nil
	}
	known, err := b.Parameters(ctx)
	if err != nil {
		return []stacks.Diagnostic{refuse("provider.unready", "spec.engine.parameters", "run "+b.Path("postgres")+" --describe-config and look why",
			"PostgreSQL does not say which parameters it has: "+err.Error())}
	}
	lower := make([]string, 0, len(known))
	for _, k := range known {
		lower = append(lower, strings.ToLower(k))
	}
	var ds []stacks.Diagnostic
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if d, bad := checkParameter(ctx, b, lower, name, parameters[name]); bad {
			ds = append(ds, d)
		}
	}
	return ds
}

func checkParameter(ctx context.Context, b server.Binaries, known []string, written, value string) (stacks.Diagnostic, bool) {
	field, name := "spec.engine.parameters."+written, strings.ToLower(written)
	switch {
	case slices.Contains(server.Managed, name):
		return refuse("parameter.managed", field, "leave it out", fmt.Sprintf("parameter %q is decided by Meridian", written)), true
	case slices.Contains(programs, name):
		return refuse("parameter.program", field, "leave it out", fmt.Sprintf("parameter %q runs a program on the database's machine", written)), true
	case name == "wal_level" && !strings.EqualFold(value, "logical"):
		return refuse("parameter.managed", field, "leave it out", "links between regions need wal_level logical"), true
	case !slices.Contains(known, name) && !strings.Contains(name, "."): // an extension's own have a prefix, and nobody knows them before it is loaded
		return refuse("parameter.unknown", field, didYouMean(name, known), fmt.Sprintf("postgres %s has no parameter %q", b.Version, written)), true
	}
	if n, isNumber := least[name]; isNumber {
		if v, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && v < n {
			return refuse("parameter.low", field, fmt.Sprintf("use at least %d", n), fmt.Sprintf("parameter %q is %d: replication between regions needs more", written, v)), true
		}
	}
	if err := b.CheckSettings(ctx, map[string]string{name: value}); err != nil {
		return refuse("parameter.invalid", field, "use a value that this parameter takes", fmt.Sprintf("postgres %s: %s", b.Version, err)), true
	}
	return stacks.Diagnostic{}, false
}

func refuse(rule, field, next, summary string) stacks.Diagnostic {
	return stacks.Diagnostic{Severity: stacks.SeverityError, Rule: rule, Field: field, Next: next, Summary: summary}
}

// didYouMean names the known parameter that is nearest to a word, if one is near.
func didYouMean(word string, known []string) string {
	best, least := "", len(word)/3+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "look it up in the documentation of PostgreSQL"
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance counts the letters to insert, drop or change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
