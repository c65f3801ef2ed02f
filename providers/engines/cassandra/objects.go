package cassandra

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/providers"
	"meridian/stacks"
)

// EnsureObjects makes keyspaces, roles and grants. A keyspace that is missing is made in all data centres that have
// joined; links have older ones span those that join.
func (Engine) EnsureObjects(ctx context.Context, t providers.Target, o providers.Objects) (providers.ObjectsReport, error) {
	var report providers.ObjectsReport
	s, err := open(ctx, t)
	if err != nil {
		return report, err
	}
	defer s.Close()
	members, err := s.members(ctx, t)
	if err != nil {
		return report, err
	}
	home, nodes := members[0].datacenter, count(members)
	if err := s.ensureOwn(ctx, home, nodes[home]); err != nil {
		return report, err
	}
	names := slices.Clone(shared)
	for _, d := range o.Databases {
		names = append(names, d.Name)
	}
	if err := s.place(ctx, names, home, nodes); err != nil {
		return report, err
	}
	if err := s.fence(ctx, t.Region, o.RunNumber); err != nil {
		return report, err
	}
	if err := s.exec(ctx, "INSERT INTO "+own+".places (region, datacenter, rack) VALUES (?, ?, ?)", t.Region, home, members[0].rack); err != nil {
		return report, fmt.Errorf("note the place of %s: %w", t.Region, err)
	}
	all, err := s.keyspaces(ctx)
	if err != nil {
		return report, err
	}
	roles, err := s.logins(ctx)
	if err != nil {
		return report, err
	}
	for _, u := range o.Users {
		if u.Drop {
			continue
		}
		_, there := roles[u.Name]
		changed := true
		switch {
		case !there:
			report.Changed = append(report.Changed, "created user "+u.Name)
			err = s.exec(ctx, "CREATE ROLE IF NOT EXISTS "+ident(u.Name)+" WITH LOGIN = true AND PASSWORD = "+text(o.Passwords[u.Name]))
		case !knows(ctx, t, u.Name, o.Passwords[u.Name]):
			report.Changed = append(report.Changed, "set the password of user "+u.Name)
			err = s.exec(ctx, "ALTER ROLE "+ident(u.Name)+" WITH LOGIN = true AND PASSWORD = "+text(o.Passwords[u.Name]))
		default:
			changed = false
		}
		if err == nil && changed {
			err = awaitLogin(ctx, t, u.Name, o.Passwords[u.Name])
		}
		if err != nil {
			return report, fmt.Errorf("user %s: %w", u.Name, err)
		}
	}
	// A new keyspace spans what ours spans: while it is empty, no data centre has to be filled.
	wide := all[own].dcs
	wanted := map[string]bool{own: true}
	for _, d := range o.Databases {
		wanted[d.Name] = true
		_, there := all[d.Name]
		if d.Drop {
			if there {
				if err := s.exec(ctx, "DROP KEYSPACE IF EXISTS "+ident(d.Name)); err != nil {
					return report, fmt.Errorf("drop keyspace %s: %w", d.Name, err)
				}
				report.Changed = append(report.Changed, "dropped database "+d.Name)
			}
			continue
		}
		if !there {
			if err := s.exec(ctx, "CREATE KEYSPACE IF NOT EXISTS "+ident(d.Name)+" WITH replication = "+strategy(wide)); err != nil {
				return report, fmt.Errorf("keyspace %s: %w", d.Name, err)
			}
			report.Changed = append(report.Changed, "created database "+d.Name)
		}
		for _, u := range o.Users {
			if u.Drop {
				continue
			}
			rights := []string{"SELECT", "MODIFY"}
			if u.Name == d.Owner {
				rights = []string{"ALL PERMISSIONS"}
			}
			for _, right := range rights {
				if err := s.exec(ctx, "GRANT "+right+" ON KEYSPACE "+ident(d.Name)+" TO "+ident(u.Name)); err != nil {
					return report, fmt.Errorf("rights of %s on %s: %w", u.Name, d.Name, err)
				}
			}
		}
	}
	for name := range all {
		if !wanted[name] && !strings.HasPrefix(name, "system") {
			report.Unmanaged = append(report.Unmanaged, "database "+name)
		}
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		i := slices.IndexFunc(o.Users, func(u stacks.User) bool { return u.Name == role })
		switch {
		case i >= 0 && o.Users[i].Drop:
			if err := s.exec(ctx, "DROP ROLE IF EXISTS "+ident(role)); err != nil {
				return report, fmt.Errorf("drop user %s: %w", role, err)
			}
			report.Changed = append(report.Changed, "dropped user "+role)
		case i < 0 && role != t.Endpoint.User && role != "cassandra":
			report.Unmanaged = append(report.Unmanaged, "user "+role)
		}
	}
	slices.Sort(report.Unmanaged)
	return report, nil
}

// credentialsFor is how long one attempt waits for a node to take a password: it believes what it has heard of a role for
// `credentials_validity`, 2 s unless cassandra.yaml says otherwise.
const credentialsFor = 5 * time.Second

// awaitLogin waits until a user can log in with the password that it was given just now.
func awaitLogin(ctx context.Context, t providers.Target, user, password string) error {
	deadline, again := time.After(credentialsFor), time.NewTicker(100*time.Millisecond)
	defer again.Stop()
	for !knows(ctx, t, user, password) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return errors.New("the node does not take its new password yet: it believes what it knew of the role for credentials_validity")
		case <-again.C:
		}
	}
	return nil
}

// knows reports whether a user can log in with its password. Only a refusal says no.
func knows(ctx context.Context, t providers.Target, user, password string) bool {
	s, err := openAs(ctx, t, user, password)
	if err == nil {
		s.Close()
	}
	return !refused(err)
}

// fence writes the run's number for a region; a smaller one than is there is refused.
func (s *session) fence(ctx context.Context, region string, run int64) error {
	var have int64
	applied, err := s.Query("INSERT INTO "+own+".fence (region, run) VALUES (?, ?) IF NOT EXISTS", region, run).WithContext(ctx).ScanCAS(nil, &have)
	if err == nil && !applied {
		if have > run {
			return fmt.Errorf("run %d, but run %d: %w", run, have, providers.ErrSuperseded)
		}
		applied, err = s.Query("UPDATE "+own+".fence SET run = ? WHERE region = ? IF run <= ?", run, region, run).WithContext(ctx).ScanCAS(&have)
	}
	if err != nil {
		return fmt.Errorf("fence of %s: %w", region, err)
	}
	if !applied {
		return fmt.Errorf("run %d, but run %d: %w", run, have, providers.ErrSuperseded)
	}
	return nil
}
