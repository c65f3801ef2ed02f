package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/providers/local/server"
)

func newConnect(a *app) *cobra.Command {
	var reveal, psql bool
	var user, database string
	c := &cobra.Command{
		Use:   "connect NAME [REGION]",
		Short: "Say how to connect to a database, or open psql on it",
		Long: `Print the connection string of a region (the primary unless named), with its password masked. --reveal shows the password,
and --psql opens psql with it; both are audited.`,
		Example: "  meridian connect orders\n  meridian connect orders istanbul --psql",
		Args:    arguments(1, 2, "the name of a database, and at most one region"),
		RunE: func(c *cobra.Command, args []string) error {
			in := orchestrator.ConnectRequest{Namespace: a.ns(), Name: args[0], User: user, Database: database, Reveal: reveal || psql, Actor: a.actor()}
			if len(args) == 2 {
				in.Region = args[1]
			}
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.Connect(c.Context(), in)
			if err != nil {
				return err
			}
			if psql && !strings.HasPrefix(v.URL, "postgres") {
				return &exitError{Code: exitFailed, What: args[0] + " is no PostgreSQL, which psql is a client of", Next: "give another client what `meridian connect " + args[0] + " --reveal` prints"}
			}
			if psql {
				return execPsql(c.Context(), v)
			}
			v.URL = connectionURL(v)
			return a.print(v, func(t *table) { t.line("%s", v.URL) })
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show the password")
	c.Flags().BoolVar(&psql, "psql", false, "open psql; the password is in its environment, never in an argument")
	c.Flags().StringVar(&user, "user", "", "connect as this user (the first one of the spec unless said)")
	c.Flags().StringVar(&database, "database", "", "connect to this database (the first one of the spec unless said)")
	c.MarkFlagsMutuallyExclusive("reveal", "psql")
	return c
}

// connectionURL is the view's URL, with the password where it was revealed, and masked where not.
func connectionURL(v orchestrator.ConnectView) string {
	u, err := url.Parse(v.URL)
	if err != nil || u.User == nil {
		return v.URL
	}
	mask := "****"
	password := v.Password
	if password == "" {
		password = mask
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return strings.Replace(u.String(), ":"+url.QueryEscape(mask)+"@", ":"+mask+"@", 1)
}

// findPsql looks in PATH, then beside the servers that provider local runs.
func findPsql(ctx context.Context) (string, error) {
	path, err := exec.LookPath("psql")
	if !errors.Is(err, exec.ErrNotFound) {
		return path, err
	}
	found, _ := server.Find(ctx) // none is as good as an error here: the first one counts
	for _, b := range found {
		if path, e := exec.LookPath(b.Path("psql")); e == nil {
			return path, nil
		}
	}
	return "", err
}

// execPsql becomes psql.
func execPsql(ctx context.Context, v orchestrator.ConnectView) error {
	path, err := findPsql(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		return &exitError{Code: exitFailed, What: "psql is neither in PATH nor beside PostgreSQL's server", Next: "install PostgreSQL's client, or use another one with `meridian connect --reveal`"}
	}
	if err != nil {
		return fmt.Errorf("find psql: %w", err)
	}
	if err := syscall.Exec(path, []string{"psql"}, psqlEnvironment(os.Environ(), v)); err != nil {
		return fmt.Errorf("start psql: %w", err)
	}
	return nil
}

// psqlEnvironment says in psql's own variables where to connect; what the user had set for another server goes.
func psqlEnvironment(parent []string, v orchestrator.ConnectView) []string {
	ours := map[string]string{
		"PGHOST": v.Host, "PGPORT": strconv.Itoa(v.Port), "PGUSER": v.User, "PGDATABASE": v.Database, "PGPASSWORD": v.Password,
	}
	drop := map[string]bool{"PGHOSTADDR": true, "PGSERVICE": true, "PGPASSFILE": true}
	var env []string
	for _, kv := range parent {
		name, _, _ := strings.Cut(kv, "=")
		if _, set := ours[name]; !set && !drop[name] {
			env = append(env, kv)
		}
	}
	for _, name := range []string{"PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"} {
		env = append(env, name+"="+ours[name])
	}
	return env
}
