package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"meridian/orchestrator"
)

// tearDown prints the destroy plan and approves exactly its digest.
func (d *demo) tearDown(ctx context.Context, db orchestrator.DatabaseView) error {
	fmt.Fprintln(d.stdout, "\nTearing everything down (--once).")
	v, err := d.client.Destroy(ctx, db.Namespace, db.Name, d.actor())
	if err != nil {
		return err
	}
	views, err := d.follow(ctx, d.client, []orchestrator.RunView{v}, followOptions{
		Timeout: d.timeout,
		Approve: func(v orchestrator.RunView) bool {
			fmt.Fprintf(d.stdout, "approving the destroy plan %s\n", v.PlanDigest)
			return true
		},
	})
	if err == nil {
		err = d.outcome(views)
	}
	if err != nil {
		return err
	}
	left, err := d.client.Databases(ctx, "")
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%d databases are left: this server has more than the demo's", len(left))
	}
	return nil
}

// stays says which servers outlive the demo, one line each; it asks while there is somebody to ask.
func (d *demo) stays(ctx context.Context) []string {
	unknown := []string{"the PostgreSQL servers that it made, running"}
	if d.client == nil {
		return unknown
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	dbs, err := d.client.Databases(ctx, "")
	if err != nil {
		return unknown
	}
	var out []string
	for _, db := range dbs {
		if db.ActiveRun != "" {
			out = append(out, "run "+db.ActiveRun+": its terraform finishes what it does now")
		}
		for _, r := range db.Regions {
			if r.Host != "" {
				out = append(out, fmt.Sprintf("PostgreSQL of %s/%s in %s, running on %s:%d", db.Namespace, db.Name, r.Name, r.Host, r.Port))
			}
		}
	}
	return out
}

// leave says what stays after the server has stopped, or removes it all.
func (d *demo) leave(err error, stays []string) error {
	if err == nil && d.once {
		if err := os.RemoveAll(d.dir); err != nil {
			return fmt.Errorf("remove the demo's directory: %w", err)
		}
		fmt.Fprintf(d.stdout, "\nNothing is left: both PostgreSQL servers, their data and %s are gone.\n", d.dir)
		return nil
	}
	self, again := selfName(), ""
	if dir, e := defaultDataDir("meridian-demo"); e != nil || dir != d.dir {
		again = " --data " + quote(d.dir)
	}
	switch exitCode(err) { // the server stops too: the following lines say how to go on
	case exitDetached:
		err = &exitError{Code: exitDetached}
	case exitTimedOut:
		err = &exitError{Code: exitTimedOut, What: fmt.Sprintf("still not done after %s", d.timeout)}
	}
	fmt.Fprintln(d.stdout, "\nThe server has stopped. What stays:")
	for _, s := range append(stays, d.dir+": all data, and the log server.log") {
		fmt.Fprintf(d.stdout, "  %s\n", s)
	}
	fmt.Fprintf(d.stdout, "Go on with:  %s demo%s\nRemove with: %s demo --once%s\n", self, again, self, again)
	return err
}
