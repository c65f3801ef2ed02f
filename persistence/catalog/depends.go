package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Errors of databases that depend on each other. Their texts are for people.
var (
	// ErrDependency means that what a database depends on is not there, or depends on it.
	ErrDependency = errors.New("the dependencies cannot be met")
	// ErrDependents means that other databases depend on it.
	ErrDependents = errors.New("other databases depend on it")
)

// putDependencies writes down what a database depends on from now on.
func putDependencies(tx *store.Tx, d Database, deps []stacks.Dependency) error {
	if _, err := tx.Exec("DELETE FROM dependencies WHERE incarnation = ?", d.Incarnation); err != nil {
		return fmt.Errorf("dependencies of %s/%s: %w", d.Namespace, d.Name, err)
	}
	for _, o := range deps {
		if _, err := tx.Exec("INSERT INTO dependencies (incarnation, namespace, name) VALUES (?, ?, ?)", d.Incarnation, o.Namespace, o.Name); err != nil {
			return fmt.Errorf("dependencies of %s/%s: %w", d.Namespace, d.Name, err)
		}
	}
	return nil
}

// Dependencies lists what a living database depends on; ErrNotFound.
func (c *Catalog) Dependencies(ctx context.Context, namespace, name string) (out []stacks.Dependency, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		d, err := livingDatabase(tx, namespace, name)
		if err != nil {
			return err
		}
		out, err = dependenciesOf(tx, d.Incarnation)
		return err
	})
	return out, err
}

func dependenciesOf(tx *store.Tx, incarnation string) (out []stacks.Dependency, err error) {
	rows, err := tx.Query("SELECT namespace, name FROM dependencies WHERE incarnation = ? ORDER BY namespace, name", incarnation)
	if err != nil {
		return nil, fmt.Errorf("dependencies of %s: %w", incarnation, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var d stacks.Dependency
		if err := rows.Scan(&d.Namespace, &d.Name); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// mustBeMet refuses a submission whose database depends on one that is not there or is being destroyed, or that depends on itself in the end.
// All of the submission is written.
func (c *Catalog) mustBeMet(tx *store.Tx, db stacks.Database) error {
	self := stacks.Dependency{Namespace: db.Metadata.Namespace, Name: db.Metadata.Name}
	for _, o := range db.Spec.DependsOn {
		d, err := livingDatabase(tx, o.Namespace, o.Name)
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%s depends on %s, which is not here: %w", self, o, ErrDependency)
		}
		if err != nil {
			return err
		}
		open, err := c.openRuns(tx, d.Incarnation)
		if err != nil {
			return err
		}
		for _, r := range open {
			if r.Kind == stacks.RunDestroy {
				return fmt.Errorf("%s depends on %s, which run %s destroys: %w", self, o, r.ID, ErrDependency)
			}
		}
		circle, err := leadsTo(tx, o, self, nil)
		if err != nil {
			return err
		}
		if circle != nil {
			return fmt.Errorf("%s depends on itself: %s: %w", self, strings.Join(append([]string{self.String()}, circle...), " -> "), ErrDependency)
		}
	}
	return nil
}

// leadsTo is the way from one database to another along what they depend on, nil where there is none.
func leadsTo(tx *store.Tx, from, to stacks.Dependency, way []string) ([]string, error) {
	way = append(way[:len(way):len(way)], from.String())
	if from == to {
		return way, nil
	}
	for _, seen := range way[:len(way)-1] {
		if seen == from.String() {
			return nil, nil // a circle that somebody else closed
		}
	}
	d, err := livingDatabase(tx, from.Namespace, from.Name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	next, err := dependenciesOf(tx, d.Incarnation)
	if err != nil {
		return nil, err
	}
	for _, o := range next {
		if found, err := leadsTo(tx, o, to, way); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// mustBeFree refuses to destroy a database that another one depends on.
func mustBeFree(tx *store.Tx, namespace, name string) error {
	rows, err := tx.Query(`SELECT d.namespace, d.name FROM dependencies x JOIN databases d ON d.incarnation = x.incarnation
		WHERE x.namespace = ? AND x.name = ? AND d.destroyed_at IS NULL ORDER BY 1, 2`, namespace, name)
	if err != nil {
		return fmt.Errorf("what depends on %s/%s: %w", namespace, name, err)
	}
	defer func() { _ = rows.Close() }()
	var who []string
	for rows.Next() {
		var d stacks.Dependency
		if err := rows.Scan(&d.Namespace, &d.Name); err != nil {
			return err
		}
		who = append(who, d.String())
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(who) > 0 {
		return fmt.Errorf("%s/%s is needed by %s: %w", namespace, name, strings.Join(who, ", "), ErrDependents)
	}
	return nil
}

// waitsFor says why a run that has not started must not yet: a database that it depends on was never applied, or is at work. failed says
// that waiting will not help.
func (c *Catalog) waitsFor(tx *store.Tx, r Run) (why string, failed bool, err error) {
	if r.Kind != stacks.RunApply || r.Phase != stacks.PhasePending {
		return "", false, nil
	}
	deps, err := dependenciesOf(tx, r.Incarnation)
	if err != nil {
		return "", false, err
	}
	for _, o := range deps {
		d, err := livingDatabase(tx, o.Namespace, o.Name)
		if errors.Is(err, ErrNotFound) {
			return fmt.Sprintf("database %s, which it depends on, is not here", o), true, nil
		}
		if err != nil {
			return "", false, err
		}
		open, err := c.openRuns(tx, d.Incarnation)
		if err != nil {
			return "", false, err
		}
		for _, other := range open {
			if other.Kind != stacks.RunCheck && (d.Applied == 0 || other.Phase != stacks.PhaseAwaiting) {
				return fmt.Sprintf("waits for run %s of database %s, which it depends on", other.ID, o), false, nil
			}
		}
		if d.Applied == 0 {
			return fmt.Sprintf("database %s, which it depends on, was never applied: %s", o, d.Message), true, nil
		}
	}
	return "", false, nil
}

// hold keeps back the runs that wait, and ends those for which waiting will not help. same reports that the rows say so already.
func (c *Catalog) hold(tx *store.Tx, open []Run, take bool) (free []Run, same bool, err error) {
	same = true
	for _, r := range open {
		why, failed, err := c.waitsFor(tx, r)
		if err != nil {
			return nil, false, err
		}
		switch {
		case why == "":
			free = append(free, r)
			continue
		case failed:
			same = false
			if take {
				err = c.end(tx, r, Move{To: stacks.PhaseFailed, Reason: "Dependency", Message: why})
			}
		case r.Message != why:
			same = false
			if take {
				err = c.putPhase(tx, r, Move{To: r.Phase, Reason: "Dependency", Message: why})
			}
		}
		if err != nil {
			return nil, false, err
		}
	}
	return free, same, nil
}
