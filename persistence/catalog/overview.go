package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Overview is what a list shows of a database beside its own row.
type Overview struct {
	// Effective is the newest spec that is no draft.
	Effective stacks.Database
	// LastRun is the newest run; its ID is empty where there is none.
	LastRun Run
	// Endpoints are where its regions answer, by region.
	Endpoints map[string]stacks.Endpoint
	Links     []Link
	// LastDrift is the last check that came to an end; its ID is empty where there is none.
	LastDrift DriftCheck
}

// Overviews reads what a list shows of databases, by incarnation: so many queries as for one of them.
func (c *Catalog) Overviews(ctx context.Context, dbs []Database) (map[string]*Overview, error) {
	out := map[string]*Overview{}
	var incarnations, runs []any
	for _, d := range dbs {
		incarnations = append(incarnations, d.Incarnation)
		if d.LastRun > 0 {
			runs = append(runs, fmt.Sprintf("%s-%d", d.Incarnation, d.LastRun))
		}
	}
	err := c.st.Read(ctx, func(tx *store.Tx) error {
		for _, d := range dbs {
			out[d.Incarnation] = &Overview{Endpoints: map[string]stacks.Endpoint{}}
		}
		for _, part := range []struct {
			keys  []any
			query string
			read  func(row scanner) error
		}{
			{incarnations, `SELECT incarnation, effective FROM revisions r WHERE draft = 0 AND incarnation IN (*)
				AND number = (SELECT max(number) FROM revisions n WHERE n.incarnation = r.incarnation AND n.draft = 0)`, func(row scanner) error { return readEffective(row, out) }},
			{runs, "SELECT " + runColumns + " FROM runs WHERE id IN (*)", func(row scanner) error {
				r, err := c.scanRun(row)
				if err == nil {
					out[r.Incarnation].LastRun = r
				}
				return err
			}},
			{runs, "SELECT run, " + regionColumns + " FROM run_regions WHERE run IN (*) ORDER BY run, region", func(row scanner) error {
				var run string
				r, err := c.scanRegion(prefixed{row, &run}, &run)
				if err == nil {
					incarnation, _, _ := strings.Cut(run, "-")
					out[incarnation].LastRun.Regions = append(out[incarnation].LastRun.Regions, r)
				}
				return err
			}},
			{incarnations, "SELECT stack, incarnation, sealed FROM endpoints WHERE incarnation IN (*)", func(row scanner) error { return c.readEndpoint(row, out) }},
			{incarnations, "SELECT " + linkColumns + " FROM links WHERE incarnation IN (*) ORDER BY incarnation, name", func(row scanner) error {
				l, err := c.scanLink(row)
				if err == nil {
					out[l.Incarnation].Links = append(out[l.Incarnation].Links, l)
				}
				return err
			}},
			{incarnations, "SELECT " + driftColumns + ` FROM drift_checks d WHERE incarnation IN (*) AND ended_at IS NOT NULL AND outcome <> '` + string(DriftSkipped) + `'
				AND started_at = (SELECT max(started_at) FROM drift_checks n WHERE n.incarnation = d.incarnation AND n.ended_at IS NOT NULL AND n.outcome <> '` + string(DriftSkipped) + `') ORDER BY id`, func(row scanner) error {
				d, err := c.scanDrift(row)
				if err == nil {
					out[d.Incarnation].LastDrift = d
				}
				return err
			}},
		} {
			if err := eachOf(tx, part.query, part.keys, part.read); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	return out, nil
}

// eachOf runs a query whose "(*)" are the keys, and reads each of its rows.
func eachOf(tx *store.Tx, query string, keys []any, read func(row scanner) error) error {
	if len(keys) == 0 {
		return nil
	}
	rows, err := tx.Query(strings.Replace(query, "(*)", "("+strings.Join(slices.Repeat([]string{"?"}, len(keys)), ", ")+")", 1), keys...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func readEffective(row scanner, into map[string]*Overview) error {
	var incarnation, effective string
	if err := row.Scan(&incarnation, &effective); err != nil {
		return err
	}
	return json.Unmarshal([]byte(effective), &into[incarnation].Effective)
}

// prefixed is a row whose first column is read on its own.
type prefixed struct {
	row   scanner
	first *string
}

// Scan reads the first column and then the others.
func (p prefixed) Scan(dest ...any) error { return p.row.Scan(append([]any{p.first}, dest...)...) }

func (c *Catalog) readEndpoint(row scanner, into map[string]*Overview) error {
	var stack, incarnation string
	var sealed []byte
	if err := row.Scan(&stack, &incarnation, &sealed); err != nil {
		return err
	}
	id, err := stacks.ParseStackID(stack)
	if err != nil {
		return err
	}
	var e stacks.Endpoint
	if err := c.unsealJSON(sealed, rowContext("endpoints", stack), &e); err != nil {
		return err
	}
	into[incarnation].Endpoints[id.Region] = e
	return nil
}
