package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
)

func newDescribe(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME",
		Short: "Show everything about one database",
		Args:  arguments(1, 1, "the name of a database"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			d, err := client.Database(c.Context(), a.ns(), args[0])
			if err != nil {
				return err
			}
			asked := ""
			if d.LastRun != "" {
				v, err := client.Run(c.Context(), d.LastRun)
				if err != nil {
					return err
				}
				if asks(v) {
					asked = a.questionText(v)
				}
			}
			return a.print(d, func(t *table) {
				describe(t, d, time.Now())
				if asked != "" {
					t.line("\n%s", strings.TrimSuffix(asked, "\n"))
				}
			})
		},
	}
}

func describe(t *table, d orchestrator.DatabaseView, now time.Time) {
	t.line("%s/%s  %s  %s", d.Namespace, d.Name, engineWords(d), d.Phase)
	if d.Message != "" {
		t.line("  %s", d.Message)
	}
	t.line("")
	fact := func(name, value string) {
		if value != "" {
			t.line("  %-12s %s", name, value)
		}
	}
	fact("incarnation", d.Incarnation)
	fact("revision", fmt.Sprintf("%d (applied: %d)", d.Revision, d.Applied))
	fact("protected", map[bool]string{true: "yes: it cannot be destroyed", false: "no"}[d.Protected])
	fact("labels", labelWords(d.Labels))
	fact("age", since(d.CreatedAt, now))
	fact("drift", driftFact(d, now))
	fact("active run", d.ActiveRun)
	fact("last run", d.LastRun)
	for _, u := range d.Unmanaged {
		fact("unmanaged", u)
	}
	t.line("\nRegions")
	t.row("  NAME", "ROLE", "PROVIDER", "LOCATION", "PHASE", "ADDRESS", "MESSAGE")
	for _, r := range d.Regions {
		address := ""
		if r.Host != "" {
			address = fmt.Sprintf("%s:%d", r.Host, r.Port)
		}
		t.row("  "+r.Name, r.Role, r.Provider, r.Location, r.Phase, address, r.Message)
	}
	if len(d.Links) > 0 {
		t.line("\nLinks")
		t.row("  NAME", "MODE", "DATABASES", "PHASE", "LAG", "VERIFIED", "MESSAGE")
		for _, l := range d.Links {
			verified, measured := "", ""
			if l.VerifiedAt != nil {
				verified, measured = since(*l.VerifiedAt, now)+" ago", lag(l.LagMS)
			}
			t.row("  "+l.Name, l.Mode, strings.Join(l.Databases, ","), l.Phase, measured, verified, l.Message)
		}
	}
	if len(d.Audit) > 0 {
		t.line("\nAudit")
		for _, e := range d.Audit {
			t.row("  "+e.At.UTC().Format(time.RFC3339), e.Actor, e.Verb, e.Subject, e.Detail)
		}
	}
}

func labelWords(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ", ")
}

// driftFact is what is known of a database's drift, and where to see more.
func driftFact(d orchestrator.DatabaseView, now time.Time) string {
	s := d.Drift
	switch {
	case s == nil:
		return "not checked"
	case s.CheckedAt == nil:
		return "not checked yet, every " + s.Every
	}
	text := driftWords(s) + ", checked " + checkedWords(s, now)
	if s.Found > 0 || s.Outcome == "unknown" {
		text += "; see meridian drift show " + d.Name
	}
	return text
}
