package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/providers"
	"meridian/stacks"
)

func newValidate(a *app) *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check specs without a server",
		Long: `Check specs against every rule that needs neither a server nor what it has stored. All errors come at once.
What depends on the databases that exist (a moved region, a removed one) is checked by plan and apply.`,
		Args: arguments(0, 0, "no arguments but -f"),
		RunE: func(c *cobra.Command, _ []string) error {
			docs, err := a.readDocuments(files)
			if err != nil {
				return err
			}
			loaded, ds, err := a.check(c.Context(), docs)
			if err != nil {
				return err
			}
			valid := !stacks.HasErrors(ds)
			if a.output == "table" || valid {
				a.printDiagnostics(ds)
			}
			err = a.print(api.ValidateResult{Valid: valid, Diagnostics: ds}, func(t *table) {
				for _, l := range loaded {
					if valid {
						t.line("%s: %s/%s is valid", l.File, l.Spec.Metadata.Namespace, l.Spec.Metadata.Name)
					}
				}
			})
			if err != nil || valid {
				return err
			}
			return invalidSpec(ds)
		},
	}
	addFiles(c, &files)
	return c
}

// check loads and validates documents against this program's own providers.
func (a *app) check(ctx context.Context, docs []orchestrator.Document) ([]stacks.Loaded, []stacks.Diagnostic, error) {
	sources := make([]stacks.Source, 0, len(docs))
	for _, d := range docs {
		sources = append(sources, stacks.Source{Name: d.File, Text: []byte(d.Text)})
	}
	registry, err := a.registry(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	loaded, ds := stacks.Check(ctx, sources, a.namespace, registry)
	return loaded, ds, nil
}

// registry opens the program's own providers and engines.
func (a *app) registry(ctx context.Context, exact bool) (*providers.Registry, error) {
	data, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	return openOffline(ctx, data, exact)
}

func invalidSpec(ds []stacks.Diagnostic) error {
	n := 0
	for _, d := range ds {
		if d.Severity == stacks.SeverityError {
			n++
		}
	}
	what := "the spec has an error"
	if n > 1 {
		what = fmt.Sprintf("the specs have %d errors", n)
	}
	return &exitError{Code: exitInvalidSpec, What: what}
}
