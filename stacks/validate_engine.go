package stacks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxParameter is the length of a parameter's value, in bytes.
const maxParameter = 1024

func (c *checker) engine() {
	e := c.db.Spec.Engine
	c.missing("spec.engine.name", e.Name, "name the engine, like postgres")
	if e.Version != "" && !versionShape.MatchString(e.Version) {
		c.refuse("engine.version", "spec.engine.version", `write a major version, like "15", or an exact one, like "15.4"`, "%q is no version", brief(e.Version))
	}
	seen := map[string]string{}
	for _, k := range sortedKeys(e.Parameters) {
		path := "spec.engine.parameters." + k
		if len(k) > MaxIdentifier || !parameter.MatchString(k) {
			c.refuse("parameter.invalid", path, "use the engine's own name of the parameter", "%q is no name of a parameter", brief(k))
			continue
		}
		if first, twice := seen[strings.ToLower(k)]; twice {
			c.refuse("name.duplicate", path, "keep one of them", "parameter %q is given twice; the first is %q", k, first)
		}
		seen[strings.ToLower(k)] = k
		if v := e.Parameters[k]; len(v) > maxParameter || !utf8.ValidString(v) || strings.ContainsFunc(v, notPrintable) {
			c.refuse("parameter.invalid", path, fmt.Sprintf("use one line of at most %d characters", maxParameter), "the value of parameter %q cannot be used", k)
		}
	}
}

// capabilities asks the providers and engines of this Meridian.
func (c *checker) capabilities(ctx context.Context, caps Capabilities) {
	spec := c.db.Spec
	engines, providers := caps.EngineNames(), caps.ProviderNames()
	engineKnown := slices.Contains(engines, spec.Engine.Name)
	database := caps.HasDatabase(spec.Engine.Name)
	if engineKnown && !database {
		c.noDatabase()
	}
	if spec.Engine.Name != "" && !engineKnown {
		c.refuse("engine.unknown", "spec.engine.name", c.didYouMean(spec.Engine.Name, engines), "unknown engine %q", brief(spec.Engine.Name))
	}
	asked := map[string]bool{}
	for i, r := range spec.Regions {
		path := fmt.Sprintf("spec.regions[%d]", i)
		if r.Provider == "" || i >= maxRegions {
			continue
		}
		if !slices.Contains(providers, r.Provider) {
			c.refuse("provider.unknown", path+".provider", c.didYouMean(r.Provider, providers), "unknown provider %q", brief(r.Provider))
			continue
		}
		if !engineKnown {
			continue
		}
		if !asked[r.Provider] && database {
			asked[r.Provider] = true
			c.version(ctx, caps, r.Provider)
		}
		if r.Location == "" {
			r.Location = r.Provider
		}
		for _, d := range caps.ValidateRegion(ctx, c.db, r) {
			if c.l.isBad(d.Field) || slices.ContainsFunc(c.ds, func(o Diagnostic) bool { return o.Field == d.Field && o.Summary == d.Summary }) {
				continue // two regions of one provider say the same of the engine
			}
			if len(c.ds) < maxDiagnostics {
				c.ds = append(c.ds, d)
			}
		}
	}
	if engineKnown && database {
		c.linkModes(caps)
		c.globalTopology(caps)
		for _, d := range caps.ValidateDatabase(ctx, c.db) {
			if !c.l.isBad(d.Field) && len(c.ds) < maxDiagnostics {
				c.ds = append(c.ds, d)
			}
		}
	}
	if spec.Engine.Version == "" && len(asked) > 0 && !HasErrors(c.ds) {
		if _, err := newestMajor(ctx, c.db, caps); err != nil {
			c.refuse("engine.version", "spec.engine", "say spec.engine.version, or choose other providers", "%s", err)
		}
	}
}

// version refuses a version that the provider cannot run.
func (c *checker) version(ctx context.Context, caps Capabilities, provider string) {
	e := c.db.Spec.Engine
	path := "spec.engine.version"
	if e.Version == "" {
		path = "spec.engine"
	}
	versions, err := caps.EngineVersions(ctx, provider, e.Name)
	switch {
	case err != nil:
		c.refuse("engine.version", path, "choose another provider, or see what meridian doctor says of this one", "provider %s cannot run %s here: %s", provider, e.Name, err)
	case len(versions) == 0 || e.Version == "" || !versionShape.MatchString(e.Version):
	case !slices.ContainsFunc(versions, func(v string) bool { return VersionMatches(e.Version, v) }):
		c.refuse("engine.version", path, "it can run "+strings.Join(versions, ", "), "provider %s cannot run %s %s here", provider, e.Name, e.Version)
	}
}

// VersionMatches reports whether an exact version is what the spec wants: "15" wants any 15.x, "15.4" exactly that.
func VersionMatches(want, exact string) bool {
	return exact == want || strings.HasPrefix(exact, want+".")
}

// Major is the part of a version before its first dot. Of engines whose major version has more parts, Capabilities tell it.
func Major(version string) string { return MajorOf(version, 1) }

// MajorOf is the first parts of a version.
func MajorOf(version string, parts int) string {
	all := strings.Split(version, ".")
	return strings.Join(all[:min(parts, len(all))], ".")
}
