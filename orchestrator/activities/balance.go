package activities

import (
	"context"
	"strings"

	"meridian/stacks/terraform"
)

// balance says of an apply that was told to stop what it had finished, what it was working on and what it had not begun.
func (a *Activities) balance(ctx context.Context, w work, step string) (string, error) {
	attempt, err := a.attempt(ctx, step)
	if err != nil {
		return "", err
	}
	return inWords(terraform.BalanceOf(w.row.Changes, attempt)), nil
}

func inWords(b terraform.Balance) string {
	var out strings.Builder
	for _, part := range []struct {
		what string
		list []string
	}{{"finished", b.Finished}, {"in flight", b.InFlight}, {"left", b.Left}} {
		if len(part.list) > 0 {
			out.WriteString("; " + part.what + ": " + strings.Join(part.list, ", "))
		}
	}
	return out.String()
}
