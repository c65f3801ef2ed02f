package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

// ReservedNames are PostgreSQL's own databases and roles, and its prefix.
func (*Engine) ReservedNames() stacks.Reserved {
	return stacks.Reserved{Databases: []string{"postgres", "template0", "template1"}, Users: []string{"postgres", "public", "none"}, Prefixes: []string{"pg_"}}
}

// heartbeatSchema holds what is ours in a linked database.
const heartbeatSchema = "meridian"

// ownPrefix starts the name of every role, slot, publication and subscription of ours.
const ownPrefix = "meridian_"

// incarnationPrefix starts the names of all slots of one incarnation.
func incarnationPrefix(incarnation string) string {
	if slug(incarnation, 10) != incarnation || strings.Contains(incarnation, "_") || incarnation == "" {
		incarnation = digest(10, incarnation)
	}
	return ownPrefix + incarnation + "_"
}

// linkPrefix starts the names of all slots, publications and subscriptions of one link.
func linkPrefix(in providers.LinkInput) string {
	link := in.Link.Name()
	return incarnationPrefix(in.Stack.Incarnation) + slug(link, 12) + "_" + digest(8, in.Stack.Incarnation, link) + "_"
}

// linkName names the slot, the publication and the subscription of one database of a link: fixed for its life, [a-z0-9_], at
// most 63 bytes. Readable parts are cut; a hash of the whole makes it unique.
func linkName(in providers.LinkInput, database string) string {
	return linkPrefix(in) + slug(database, 12) + "_" + digest(6, database)
}

// roleName names the role on the source that the link's target logs in as.
func roleName(in providers.LinkInput) string {
	link := in.Link.Name()
	return ownPrefix + "repl_" + slug(link, 20) + "_" + digest(16, in.Stack.Incarnation, link)
}

// digest returns n hexadecimal digits of a hash of the parts.
func digest(n int, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))[:n]
}

// slug keeps [a-z0-9_] of a name, at most n bytes.
func slug(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
	return s[:min(len(s), n)]
}
