package stacks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Capabilities is what validation asks of the providers and engines of this Meridian.
type Capabilities interface {
	ProviderNames() []string
	EngineNames() []string
	// HasDatabase reports whether an engine is a database; one that is not known is.
	HasDatabase(engine string) bool
	// EngineVersions lists the exact versions of an engine that a provider can run here, newest first; none where it does not say.
	EngineVersions(ctx context.Context, provider, engine string) ([]string, error)
	// ValidateDatabase asks the engine what only it knows of its databases, users and links; its diagnostics carry Field paths.
	ValidateDatabase(ctx context.Context, db Database) []Diagnostic
	// ReservedNames are the names that belong to an engine.
	ReservedNames(engine string) Reserved
	// MajorVersion is the part of an engine's version that cannot change in place: "16" of "16.4", "8.4" of MySQL's "8.4.3".
	MajorVersion(engine, version string) string
	// LinkModes lists the modes that a link from a region of one provider to one of another can have with an engine.
	LinkModes(engine, from, to string) []LinkMode
	// GlobalMode is the mode of the links between regions that a provider makes one database of (TopologyGlobal), "" where it does not.
	GlobalMode(engine, provider string) LinkMode
	// ValidateRegion asks the region's provider; its diagnostics carry Field paths.
	ValidateRegion(ctx context.Context, db Database, r Region) []Diagnostic
}

// HasErrors reports whether one of the diagnostics is an error.
func HasErrors(ds []Diagnostic) bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == SeverityError })
}

// Check loads and validates: every error of every document at once, in order of file and line.
func Check(ctx context.Context, sources []Source, defaultNamespace string, caps Capabilities) ([]Loaded, []Diagnostic) {
	loaded, ds := Load(sources, defaultNamespace)
	for _, l := range loaded {
		ds = append(ds, Validate(ctx, l, caps)...)
	}
	files := map[string]int{}
	for i, s := range sources {
		if _, ok := files[s.Name]; !ok {
			files[s.Name] = i
		}
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(files[a.File], files[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return loaded, ds
}

// Validate checks one document against every rule that needs no other revision. caps nil means the shape only, offline.
func Validate(ctx context.Context, l Loaded, caps Capabilities) []Diagnostic {
	c := checker{l: l, db: l.Spec}
	if caps != nil {
		c.reserved = caps.ReservedNames(l.Spec.Spec.Engine.Name)
	}
	c.metadata()
	if l.doc != nil && !l.has("spec") {
		c.refuse("spec.required", "spec", "say at least engine and regions", "spec is missing")
		return l.Locate(c.ds)
	}
	c.regions()
	c.users()
	c.databases()
	c.replication()
	c.topology()
	c.drift()
	c.allowReplace()
	c.dependencies()
	c.engine()
	if n := c.db.Spec.AdminPasswordVersion; n < 0 || n > maxPasswordVersion {
		c.refuse("password.version", "spec.adminPasswordVersion", fmt.Sprintf("write a number from 1 to %d, one higher than before", maxPasswordVersion), "%d cannot count changes of a password", n)
	}
	if caps != nil {
		c.capabilities(ctx, caps)
	}
	return l.Locate(c.ds)
}

// maxPasswordVersion bounds the changes of a password.
const maxPasswordVersion = 1_000_000

// checker collects what is wrong with one document.
type checker struct {
	l  Loaded
	db Database
	ds []Diagnostic
	// reserved are the engine's names.
	reserved Reserved
}

// add reports a diagnostic, unless loading complained about its field already or there are too many.
func (c *checker) add(severity Severity, rule, path, next, format string, args ...any) {
	switch {
	case c.l.isBad(path) || len(c.ds) > maxDiagnostics:
		return
	case len(c.ds) == maxDiagnostics:
		c.ds = append(c.ds, Diagnostic{Severity: SeverityError, Rule: "spec.errors", Field: path, Summary: "there are more errors", Next: "mend the ones above first"})
		return
	}
	c.ds = append(c.ds, Diagnostic{Severity: severity, Rule: rule, Field: path, Summary: fmt.Sprintf(format, args...), Next: next})
}

func (c *checker) refuse(rule, path, next, format string, args ...any) {
	c.add(SeverityError, rule, path, next, format, args...)
}

// missing refuses an empty required field and reports whether it is empty.
func (c *checker) missing(path, value, next string) bool {
	if value == "" {
		c.refuse("spec.required", path, next, "%s is missing", path)
	}
	return value == ""
}

// unique refuses a name that stood before; seen maps a name to the path of its first use.
func (c *checker) unique(seen map[string]string, what, name, path string) {
	if first, twice := seen[name]; twice {
		c.refuse("name.duplicate", path, "keep one of them", "%s %q is listed twice; the first is %s", what, brief(name), first)
		return
	}
	seen[name] = path
}

func (c *checker) metadata() {
	m := c.db.Metadata
	c.label("namespace", "metadata.namespace", m.Namespace, MaxNamespace)
	if !c.missing("metadata.name", m.Name, "give the database a name") {
		c.label("name", "metadata.name", m.Name, MaxName)
	}
	if len(m.Labels) > maxLabels {
		c.refuse("labels.many", "metadata.labels", "", "there are %d labels; at most %d are allowed", len(m.Labels), maxLabels)
	}
	for _, k := range sortedKeys(m.Labels) {
		path := "metadata.labels." + k
		c.label("label", path, k, MaxLabel)
		if !labelValue.MatchString(m.Labels[k]) {
			c.refuse("name.invalid", path, "use letters, digits, dot, hyphen and underscore, at most 63", "the value %q of label %q cannot be used", brief(m.Labels[k]), brief(k))
		}
	}
}

func (c *checker) regions() {
	rs := c.db.Spec.Regions
	if len(rs) == 0 {
		c.refuse("region.none", "spec.regions", "list at least one region, with role: primary", "the database has no region")
		return
	}
	if len(rs) > maxRegions {
		c.refuse("regions.many", "spec.regions", "", "there are %d regions; at most %d are allowed", len(rs), maxRegions)
		return
	}
	seen := map[string]string{}
	var primaries []string
	unsure := false
	for i, r := range rs {
		path := fmt.Sprintf("spec.regions[%d]", i)
		if !c.missing(path+".name", r.Name, "give the region a name of your own, not the cloud's") && c.label("region", path+".name", r.Name, MaxRegion) {
			c.unique(seen, "region", r.Name, path+".name")
			c.fits(path+".name", r.Name)
		}
		c.missing(path+".provider", r.Provider, "say which provider runs it, like local")
		if len(r.Location) > MaxLabel || strings.ContainsFunc(r.Location, notPrintable) {
			c.refuse("name.invalid", path+".location", "use the provider's own word for the place", "location %q cannot be used", brief(r.Location))
		}
		unsure = unsure || c.l.isBad(path+".role")
		switch r.Role {
		case RolePrimary:
			primaries = append(primaries, path)
		case RoleReplica:
		case "":
			c.missing(path+".role", "", "write role: primary or role: replica")
		default:
			unsure = true
			c.refuse("region.role", path+".role", c.didYouMean(string(r.Role), []string{string(RolePrimary), string(RoleReplica)}), "unknown role %q", brief(string(r.Role)))
		}
	}
	switch {
	case len(primaries) == 0 && !unsure:
		c.refuse("region.primary", "spec.regions", "give exactly one region role: primary", "no region is the primary")
	case len(primaries) > 1:
		for _, p := range primaries[1:] {
			c.refuse("region.primary", p+".role", "make it role: replica", "there are two primaries; the first is %s", primaries[0])
		}
	}
}

// fits refuses a region whose names together are too long for what is made of them.
func (c *checker) fits(path, region string) {
	m := c.db.Metadata
	if len(m.Namespace) > MaxNamespace || len(m.Name) > MaxName {
		return
	}
	if n := len(m.Namespace) + 1 + len(m.Name) + 1 + IncarnationLen + 1 + len(region); n > maxStackName {
		c.refuse("name.long", path, fmt.Sprintf("shorten namespace, name or region by %d", n-maxStackName),
			"%s-%s-<%d letters>-%s has %d characters; names made of it may have %d", m.Namespace, m.Name, IncarnationLen, region, n, maxStackName)
	}
}

func (c *checker) users() {
	seen := map[string]string{}
	if n := len(c.db.Spec.Users); n > maxObjects {
		c.refuse("users.many", "spec.users", "", "there are %d users; at most %d are allowed", n, maxObjects)
		return
	}
	for i, u := range c.db.Spec.Users {
		path := fmt.Sprintf("spec.users[%d].name", i)
		if !c.missing(path, u.Name, "give the user a name") && c.identifier("user", path, u.Name) {
			c.unique(seen, "user", u.Name, path)
		}
	}
}

func (c *checker) databases() {
	if n := len(c.db.Spec.Databases); n > maxObjects {
		c.refuse("databases.many", "spec.databases", "", "there are %d databases; at most %d are allowed", n, maxObjects)
		return
	}
	users, dropped := map[string]bool{}, map[string]bool{}
	var names []string
	for _, u := range c.db.Spec.Users {
		users[u.Name], dropped[u.Name] = true, u.Drop
		names = append(names, u.Name)
	}
	seen := map[string]string{}
	for i, d := range c.db.Spec.Databases {
		path := fmt.Sprintf("spec.databases[%d]", i)
		if !c.missing(path+".name", d.Name, "give the database a name") && c.identifier("database", path+".name", d.Name) {
			c.unique(seen, "database", d.Name, path+".name")
		}
		switch {
		case d.Owner == "" || d.Drop:
		case !users[d.Owner]:
			next := c.didYouMean(d.Owner, names)
			if !strings.HasPrefix(next, "did") {
				next = fmt.Sprintf("add {name: %s} to spec.users", brief(d.Owner))
			}
			c.refuse("database.owner", path+".owner", next, "owner %q is no user of this spec", brief(d.Owner))
		case dropped[d.Owner]:
			c.refuse("database.owner", path+".owner", "give the database another owner first", "owner %q is to be dropped", brief(d.Owner))
		}
	}
}

func (c *checker) allowReplace() {
	var regions []string
	for _, r := range c.db.Spec.Regions {
		regions = append(regions, r.Name)
	}
	seen := map[string]string{}
	for i, name := range c.db.Spec.AllowReplace {
		path := fmt.Sprintf("spec.allowReplace[%d]", i)
		if !slices.Contains(regions, name) {
			c.refuse("region.unknown", path, c.didYouMean(name, regions), "%q is no region of this spec", brief(name))
			continue
		}
		c.unique(seen, "region", name, path)
	}
}

// didYouMean is the advice for a word that is none of these.
func (c *checker) didYouMean(word string, candidates []string) string {
	if len(c.ds) >= maxDiagnostics {
		return "" // nobody will read it
	}
	if s := suggest(word, candidates); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	if len(candidates) == 0 || len(candidates) > 20 {
		return ""
	}
	return "it is one of " + strings.Join(candidates, ", ")
}
