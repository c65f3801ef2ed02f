package store

import (
	"strconv"
	"strings"
	"sync"
)

// rebound keeps what rebind made: the queries of the house are a few hundred constants.
var rebound sync.Map

// numbered writes the ? of a query as $1, $2, ...; those in quotes and comments stay.
func numbered(query string) string {
	if out, ok := rebound.Load(query); ok {
		return out.(string)
	}
	var b strings.Builder
	n := 0
	for rest := query; rest != ""; {
		if skip := literal(rest); skip > 0 {
			b.WriteString(rest[:skip])
			rest = rest[skip:]
			continue
		}
		if rest[0] == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
		} else {
			b.WriteByte(rest[0])
		}
		rest = rest[1:]
	}
	out := b.String()
	rebound.Store(query, out)
	return out
}

// literal is the length of the quoted text or comment that s begins with, or 0. A doubled quote begins another text, which is the same.
func literal(s string) int {
	var end string
	switch {
	case s[0] == '\'' || s[0] == '"':
		end = s[:1]
	case strings.HasPrefix(s, "--"):
		end = "\n"
	case strings.HasPrefix(s, "/*"):
		end = "*/"
	default:
		return 0
	}
	if i := strings.Index(s[1:], end); i >= 0 {
		return 1 + i + len(end)
	}
	return len(s)
}
