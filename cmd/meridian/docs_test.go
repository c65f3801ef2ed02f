package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDocsNameEveryVerbAndFlag keeps docs/cli.md whole: a section for each verb, with each of its flags.
func TestDocsNameEveryVerbAndFlag(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(text), "\n### ")[1:] {
		title, body, _ := strings.Cut(s, "\n")
		sections[title], _, _ = strings.Cut(body, "\n## ")
	}
	root := newRoot(newApp(os.Stdin, io.Discard, io.Discard))
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, child := range c.Commands() {
			walk(child)
		}
		if c == root || c.HasSubCommands() || c.Hidden {
			return
		}
		body, ok := sections[c.CommandPath()]
		if !ok {
			t.Errorf("docs/cli.md has no section %q", c.CommandPath())
		}
		delete(sections, c.CommandPath())
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(body, "--"+f.Name) {
				t.Errorf("docs/cli.md does not mention --%s of %s", f.Name, c.CommandPath())
			}
		})
	}
	walk(root)
	for title := range sections {
		t.Errorf("docs/cli.md describes %q, which is no verb", title)
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(string(text), "--"+f.Name) {
			t.Errorf("docs/cli.md does not mention --%s", f.Name)
		}
	})
}
