package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

func newImport(a *app) *cobra.Command {
	var files, ids, states, passwords []string
	var change, detach, noWaitApproval bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "import -f FILE --id REGION=ID",
		Short: "Take a database that is there already under control",
		Long: `Take a database that is there already under control: each region of the spec is something that runs, named by its provider's ID
(--id) or found in a Terraform state (--state).

What the import would change is shown and asked about. It may change what only Terraform and Meridian know of, and nothing else: where
the spec says otherwise than what is there, the import is refused and says so attribute by attribute. --change lets it be changed in
place. An import never destroys, replaces or sets a password.`,
		Example: "  meridian import -f orders.yaml --id frankfurt=orders-db --password frankfurt=pw.txt\n  meridian import -f orders.yaml --state frankfurt=terraform.tfstate --password frankfurt=-",
		Args:    arguments(0, 0, "no arguments but -f, --id, --state and --password"),
		RunE: func(c *cobra.Command, _ []string) error {
			docs, err := a.readDocuments(files)
			if err != nil {
				return err
			}
			from, err := a.importFrom(ids, states, passwords)
			if err != nil {
				return err
			}
			client, err := a.dial()
			if err != nil {
				return err
			}
			result, err := client.Import(c.Context(), orchestrator.ImportRequest{Documents: docs, Namespace: a.namespace, From: from, Change: change, Actor: a.actor()})
			if err != nil {
				return err
			}
			a.printDiagnostics(result.Warnings)
			if detach {
				return a.printRuns(result.Runs)
			}
			return a.followAndPrint(c.Context(), client, result.Runs, followOptions{NoWaitApproval: noWaitApproval, Timeout: timeout})
		},
	}
	addFiles(c, &files)
	c.Flags().StringArrayVar(&ids, "id", nil, "REGION=ID: what becomes the region, as its provider names it; may be repeated")
	c.Flags().StringArrayVar(&states, "state", nil, "REGION=FILE: a Terraform state that has what becomes the region; may be repeated")
	c.Flags().StringArrayVar(&passwords, "password", nil, "REGION=FILE: the file with the administrator's password, or - for stdin; may be repeated")
	c.Flags().BoolVar(&change, "change", false, "let the spec change in place what is there")
	c.Flags().BoolVar(&detach, "detach", false, "return at once; the run goes on")
	addWaiting(c, &noWaitApproval, &timeout)
	c.MarkFlagsMutuallyExclusive("detach", "timeout")
	return c
}

// importFrom joins what the flags say of each region.
func (a *app) importFrom(ids, states, passwords []string) ([]orchestrator.ImportFrom, error) {
	var order []string
	by := map[string]*orchestrator.ImportFrom{}
	take := func(flag string, pairs []string, set func(f *orchestrator.ImportFrom, value string) error) error {
		for _, pair := range pairs {
			region, value, ok := strings.Cut(pair, "=")
			if !ok || region == "" || value == "" {
				return usage("--%s %s: want REGION=...", flag, pair)
			}
			if by[region] == nil {
				by[region] = &orchestrator.ImportFrom{Region: region}
				order = append(order, region)
			}
			if err := set(by[region], value); err != nil {
				return err
			}
		}
		return nil
	}
	err := take("id", ids, func(f *orchestrator.ImportFrom, id string) error { f.ID = id; return nil })
	if err == nil {
		err = take("state", states, func(f *orchestrator.ImportFrom, file string) error {
			text, err := os.ReadFile(file)
			f.State = string(text)
			return err
		})
	}
	if err == nil {
		err = take("password", passwords, func(f *orchestrator.ImportFrom, file string) (err error) {
			f.Password, err = a.readPassword(file)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	if len(order) == 0 {
		return nil, &exitError{Code: exitFailed, What: "meridian import does not know what becomes the spec's regions", Next: "name it for each: --id REGION=ID or --state REGION=FILE"}
	}
	var out []orchestrator.ImportFrom
	for _, region := range order {
		out = append(out, *by[region])
	}
	return out, nil
}

// readPassword reads a password from a file or stdin, without the line's end.
func (a *app) readPassword(file string) (string, error) {
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(io.LimitReader(a.stdin, 4096))
	} else {
		text, err = os.ReadFile(file)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if err == nil && password == "" {
		err = fmt.Errorf("%s holds no password", file)
	}
	return password, err
}
