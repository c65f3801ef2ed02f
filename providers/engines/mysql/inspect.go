package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

// Inspect compares databases, users, passwords and rights with what was made, and changes nothing. It takes no fence.
func (e *Engine) Inspect(ctx context.Context, t providers.Target, in providers.InspectInput) ([]stacks.DriftItem, error) {
	secrets := []string{t.Password}
	for _, u := range in.Objects.Users {
		secrets = append(secrets, in.Objects.Passwords[u.Name])
	}
	items, err := inspect(ctx, t, in)
	return items, settle(err, secrets...)
}

func inspect(ctx context.Context, t providers.Target, in providers.InspectInput) ([]stacks.DriftItem, error) {
	s, err := connect(ctx, t)
	if err != nil {
		return nil, err
	}
	defer s.close()
	there, err := s.databases(ctx)
	if err != nil {
		return nil, err
	}
	known := providers.Objects{}
	var out []stacks.DriftItem
	for _, u := range in.Objects.Users {
		if u.Drop {
			continue
		}
		subject := "user " + u.Name
		found, err := s.hasUser(ctx, u.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", subject, err)
		}
		if !found {
			out = append(out, stacks.DriftItem{Kind: stacks.DriftMissing, Subject: subject, Message: "the user is there no more"})
			continue
		}
		known.Users = append(known.Users, u)
		same, err := logsIn(ctx, t, u.Name, in.Objects.Passwords[u.Name])
		if err != nil {
			return nil, err
		}
		if !same {
			out = append(out, stacks.DriftItem{Kind: stacks.DriftLogin, Subject: subject, Sensitive: true,
				Message: "the user is not let in: its password is not the one that Meridian made, or it may not log in any more"})
		}
	}
	for _, d := range in.Objects.Databases {
		switch {
		case d.Drop:
		case !slices.Contains(there, d.Name):
			out = append(out, stacks.DriftItem{Kind: stacks.DriftMissing, Subject: "database " + d.Name, DataBearing: true, Message: "the database was dropped, with its data"})
		default:
			known.Databases = append(known.Databases, d)
		}
	}
	wrong, err := s.readGrants(ctx, known)
	if err != nil {
		return nil, err
	}
	for _, g := range wrong {
		item := stacks.DriftItem{Kind: stacks.DriftChanged, Subject: "user " + g.user, Path: "rights in " + g.database}
		item.Want, item.Found = "without "+strings.Join(g.extra, ", "), "has them"
		if len(g.missing) > 0 {
			item.Want, item.Found = strings.Join(g.missing, ", "), "none of them"
		}
		out = append(out, item)
	}
	return out, nil
}
