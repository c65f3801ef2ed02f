package stacks

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Limits of names, in bytes. What is made of them must fit: a stack's cloud name, NAMESPACE-NAME-INCARNATION-REGION, into the 63 of a
// DNS label (an RDS identifier); a replication slot, meridian_INCARNATION_FROM_TO, into the 63 of a PostgreSQL identifier.
const (
	MaxNamespace = 20
	MaxName      = 30
	MaxRegion    = 20
	// MaxLabel is the length of a label's key and value, and of a location.
	MaxLabel = 63
	// MaxIdentifier is the length of the name of a logical database or user (PostgreSQL's NAMEDATALEN - 1).
	MaxIdentifier = 63
	// IncarnationLen is the length of an incarnation's ID.
	IncarnationLen = 8

	maxStackName = 63
	maxLabels    = 64
	maxRegions   = 64
	maxObjects   = 1000
)

var (
	// dnsLabel is RFC 1035's label in lower case. Two hyphens in a row are refused: clouds refuse them too.
	dnsLabel     = regexp.MustCompile(`^[a-z](-?[a-z0-9])*$`)
	incarnation  = regexp.MustCompile(`^[a-z0-9]+$`)
	labelValue   = regexp.MustCompile(`^[A-Za-z0-9._-]{0,63}$`)
	identifier   = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	parameter    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)?$`)
	versionShape = regexp.MustCompile(`^[0-9]{1,5}(\.[0-9]{1,5}){0,3}$`)
)

// Reserved are names that users of a database may not take.
type Reserved struct {
	Databases, Users []string
	// Prefixes are those of either.
	Prefixes []string
}

// ours are Meridian's own, whatever the engine.
var ours = Reserved{Databases: []string{"meridian"}, Users: []string{"meridian"}, Prefixes: []string{"meridian_"}}

// has reports whether a name of a "database" or "user" is reserved.
func (r Reserved) has(what, name string) bool {
	names := r.Databases
	if what == "user" {
		names = r.Users
	}
	return slices.Contains(names, name) || slices.ContainsFunc(r.Prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// label refuses what is no DNS label of at most so many bytes, and reports whether the name is good.
func (c *checker) label(what, path, name string, most int) bool {
	switch {
	case len(name) > most:
		c.refuse("name.long", path, fmt.Sprintf("shorten it by %d", len(name)-most), "%s %q has %d characters; at most %d are allowed", what, brief(name), len(name), most)
	case !dnsLabel.MatchString(name):
		c.refuse("name.invalid", path, "use lower-case letters, digits and single hyphens, starting with a letter"+example(name, "-"), "%s %q is no DNS label", what, brief(name))
	default:
		return true
	}
	return false
}

// identifier refuses what is no plain identifier of the engine, or reserved, and reports whether the name is good.
func (c *checker) identifier(what, path, name string) bool {
	switch {
	case len(name) > MaxIdentifier:
		c.refuse("name.long", path, fmt.Sprintf("shorten it by %d", len(name)-MaxIdentifier), "%s %q has %d characters; at most %d are allowed", what, brief(name), len(name), MaxIdentifier)
	case !identifier.MatchString(name):
		c.refuse("name.invalid", path, "use lower-case letters, digits and underscores, not starting with a digit"+example(name, "_"), "%s %q cannot be used as a name", what, brief(name))
	case ours.has(what, name) || c.reserved.has(what, name):
		c.refuse("name.reserved", path, "choose another name", "%s %q is reserved", what, brief(name))
	default:
		return true
	}
	return false
}

// example makes a good name of a bad one, for the advice.
func example(name, separator string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	s := strings.Join(words, separator)
	if s == "" || s == name || len(s) > MaxRegion || s[0] <= '9' {
		return ""
	}
	return fmt.Sprintf(", like %q", s)
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
