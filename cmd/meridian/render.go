package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"meridian/providers"
	"meridian/stacks"
)

func newRender(a *app) *cobra.Command {
	var files []string
	var out string
	c := &cobra.Command{
		Use:   "render -f FILE",
		Short: "Write the plain Terraform of specs, without a server",
		Long: `Write the Terraform that Meridian makes of each region: plain files that need no Meridian. Without --out they are printed.
Addresses that a server would give out are placeholders.`,
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
			a.printDiagnostics(ds)
			if stacks.HasErrors(ds) {
				return invalidSpec(ds)
			}
			registry, err := a.registry(c.Context(), true)
			if err != nil {
				return err
			}
			var rendered []stacks.Stack
			for _, l := range loaded {
				of, err := renderDatabase(c.Context(), l.Spec, registry)
				if err != nil {
					return err
				}
				rendered = append(rendered, of...)
			}
			if out != "" {
				return a.writeStacks(out, rendered)
			}
			return a.print(rendered, func(t *table) {
				for _, s := range rendered {
					for _, f := range s.Files {
						fmt.Fprintf(t.w, "# ----- %s\n%s\n", filepath.Join(stackDir(s), f.Path), f.Content)
					}
				}
			})
		},
	}
	addFiles(c, &files)
	c.Flags().StringVar(&out, "out", "", "directory to write NAMESPACE/NAME/REGION/ into")
	return c
}

// renderDatabase makes the stacks of a database that no server knows.
func renderDatabase(ctx context.Context, db stacks.Database, registry *providers.Registry) ([]stacks.Stack, error) {
	db, err := stacks.Default(ctx, db, registry)
	if err != nil {
		return nil, fmt.Errorf("defaults of %s: %w", db.Metadata.Name, err)
	}
	id := stacks.StackID{Namespace: db.Metadata.Namespace, Name: db.Metadata.Name, Incarnation: "rendered"}
	places := map[string]stacks.Placement{}
	var taken []string
	for _, region := range db.Spec.Regions {
		p, err := registry.Provider(region.Provider)
		if err != nil {
			return nil, err
		}
		placer, err := providers.As[providers.Placer](p)
		if err == nil {
			id.Region = region.Name
			places[region.Name], err = placer.Place(ctx, providers.PlaceInput{Stack: id, Engine: db.Spec.Engine.Name, Taken: taken})
		}
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return nil, fmt.Errorf("place %s: %w", region.Name, err)
		}
		taken = append(taken, fmt.Sprintf("%s:%d", places[region.Name].Address, places[region.Name].Port))
	}
	var out []stacks.Stack
	for _, region := range db.Spec.Regions {
		id.Region = region.Name
		in := providers.ModuleInput{Stack: id, Database: db, Region: region, Placement: places[region.Name]}
		if source, ok := db.JoinsRegion(region.Name); ok {
			in.Source = places[source]
		}
		p, err := registry.Provider(region.Provider)
		if err != nil {
			return nil, err
		}
		caller, err := providers.As[providers.ModuleCaller](p)
		if err != nil {
			return nil, err
		}
		call, err := caller.ModuleCall(in)
		if err != nil {
			return nil, fmt.Errorf("module of %s: %w", region.Name, err)
		}
		s, err := stacks.Render(in.Stack, call)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", region.Name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func stackDir(s stacks.Stack) string { return filepath.Join(s.ID.Namespace, s.ID.Name, s.ID.Region) }

// writeStacks writes each stack into a directory of its own; one that has files in it already is refused before anything is written.
func (a *app) writeStacks(out string, rendered []stacks.Stack) error {
	for _, s := range rendered {
		dir := filepath.Join(out, stackDir(s))
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return &exitError{Code: exitFailed, What: dir + " is not empty", Next: "remove it, or choose another directory with --out"}
		}
	}
	for _, s := range rendered {
		dir := filepath.Join(out, stackDir(s))
		for _, f := range s.Files {
			path := filepath.Join(dir, filepath.FromSlash(f.Path))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return fmt.Errorf("write the rendered files: %w", err)
			}
			if err := os.WriteFile(path, f.Content, 0o644); err != nil {
				return fmt.Errorf("write the rendered files: %w", err)
			}
		}
		fmt.Fprintln(a.stdout, dir)
	}
	return nil
}
