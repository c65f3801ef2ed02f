package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
)

func knownFormat(f string) bool { return f == "table" || f == "json" || f == "yaml" }

// table prints data for people: columns are aligned, lines are as they are.
type table struct {
	w *tabwriter.Writer
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		c = strings.NewReplacer("\n", " ", "\t", " ").Replace(printable(c))
		if c == "" {
			c = "-"
		}
		cells[i] = c
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t *table) line(format string, args ...any) {
	fmt.Fprintln(t.w, strings.ReplaceAll(printable(fmt.Sprintf(format, args...)), "\t", " "))
}

// print writes v to stdout in the format that -o asked for; as a table the way that draw does.
func (a *app) print(v any, draw func(*table)) error {
	switch a.output {
	case "json":
		return printJSON(a.stdout, v)
	case "yaml":
		text, err := json.Marshal(v)
		if err == nil {
			text, err = yaml.JSONToYAML(text)
		}
		if err != nil {
			return fmt.Errorf("print as yaml: %w", err)
		}
		_, err = a.stdout.Write(text)
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	draw(&table{w: w})
	return w.Flush()
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print as json: %w", err)
	}
	return nil
}

// list keeps an empty list from being null.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}
