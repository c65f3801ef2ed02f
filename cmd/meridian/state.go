package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/stacks"
)

const stateVerbs = "a verb: list, show, diff, pull or restore"

func newState(a *app) *cobra.Command {
	c := &cobra.Command{Use: "state", Short: "List, show, compare, pull and restore the kept states of a region", Args: arguments(0, 0, stateVerbs)}
	c.RunE = func(*cobra.Command, []string) error {
		return &exitError{Code: exitFailed, What: "meridian state wants " + stateVerbs, Next: "see `meridian state --help`"}
	}
	c.AddCommand(newStateList(a), newStateShow(a), newStateDiff(a), newStatePull(a), newStateRestore(a))
	return c
}

// ref is the state that the arguments NAME REGION [VERSION] name.
func (a *app) ref(args []string) orchestrator.StateRef {
	ref := orchestrator.StateRef{Namespace: a.ns(), Name: args[0], Region: args[1]}
	if len(args) > 2 {
		ref.Version = args[2]
	}
	return ref
}

func newStateList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list NAME REGION",
		Short: "List the kept versions of a region's state, newest first",
		Args:  arguments(2, 2, "the name of a database and a region"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			all, err := client.States(c.Context(), a.ns(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.printVersions(all)
		},
	}
}

func (a *app) printVersions(all []orchestrator.StateVersionView) error {
	return a.print(list(all), func(t *table) {
		t.row("VERSION", "AGE", "BY", "SIZE", "RESOURCES", "")
		for _, v := range all {
			by := "run " + v.Run
			if v.Run == "" {
				by = v.Edit
			}
			note := v.Damaged
			if v.Newest && note == "" {
				note = "newest"
			}
			t.row(v.Version, since(v.At, time.Now()), by, fmt.Sprint(v.Size), fmt.Sprint(v.Resources), note)
		}
	})
}

func newStateShow(a *app) *cobra.Command {
	var sensitive bool
	c := &cobra.Command{
		Use:   "show NAME REGION [VERSION]",
		Short: "Show what is in a state, sensitive values masked",
		Args:  arguments(2, 3, "the name of a database, a region, and at most one version"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.State(c.Context(), a.ref(args))
			if err != nil {
				return err
			}
			if sensitive {
				v.Objects = onlySensitive(v.Objects)
			}
			return a.print(v, func(t *table) {
				t.line("version %s  lineage %s", v.Version, v.Lineage)
				for _, o := range v.Objects {
					t.line("\n%s%s", o.Address, objectWords(o))
					for _, at := range o.Attributes {
						t.line("  %-28s %s", at.Path, attributeText(stacks.ActionCreate, at, a.style))
					}
				}
				if sensitive && len(v.Objects) == 0 {
					t.line("nothing in it is marked as sensitive")
				}
			})
		},
	}
	c.Flags().BoolVar(&sensitive, "sensitive", false, "only what is sensitive: where in the state secrets are")
	return c
}

// onlySensitive lists the objects that have sensitive attributes, with these alone.
func onlySensitive(all []orchestrator.StateObjectView) []orchestrator.StateObjectView {
	out := []orchestrator.StateObjectView{}
	for _, o := range all {
		o.Attributes = slices.DeleteFunc(slices.Clone(o.Attributes), func(at stacks.AttributeChange) bool { return !at.Sensitive })
		if len(o.Attributes) > 0 {
			out = append(out, o)
		}
	}
	return out
}

func objectWords(o orchestrator.StateObjectView) string {
	var words []string
	if o.Tainted {
		words = append(words, "tainted")
	}
	if o.Deposed != "" {
		words = append(words, "deposed "+o.Deposed)
	}
	if len(words) == 0 {
		return ""
	}
	return "  (" + strings.Join(words, ", ") + ")"
}

func newStateDiff(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "diff NAME REGION FROM [TO]",
		Short: "Compare two versions of a state, sensitive values masked",
		Long:  "Compare two versions of a region's state, attribute by attribute; TO is the newest unless said. Sensitive values are masked.",
		Args:  arguments(3, 4, "the name of a database, a region, and one or two versions"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			to := ""
			if len(args) == 4 {
				to = args[3]
			}
			d, err := client.DiffStates(c.Context(), a.ref(args[:3]), to)
			if err != nil {
				return err
			}
			return a.print(d, func(t *table) { t.line("%s", stateDiffText(d, a.style)) })
		},
	}
}

// stateDiffText shows what differs between two states. Nothing is made or destroyed by that, so its words are other than a plan's.
func stateDiffText(d orchestrator.StateDiffView, s style) string {
	if len(d.Changes) == 0 {
		return fmt.Sprintf("%s and %s hold the same", d.From, d.To)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "from %s to %s", d.From, d.To)
	for _, c := range d.Changes {
		words := map[stacks.Action]string{stacks.ActionCreate: "+ knows", stacks.ActionDelete: "- does not know", stacks.ActionUpdate: "~", stacks.ActionNoop: ">"}[c.Action]
		fmt.Fprintf(&b, "\n  %s %s", words, clean(c.Address))
		if c.PreviousAddress != "" {
			fmt.Fprintf(&b, " (was %s)", clean(c.PreviousAddress))
		}
		for _, at := range c.Attributes {
			fmt.Fprintf(&b, "\n      %s  %s", clean(at.Path), attributeText(c.Action, at, s))
		}
	}
	return b.String()
}

func newStatePull(a *app) *cobra.Command {
	var secrets bool
	var out string
	c := &cobra.Command{
		Use:   "pull NAME REGION [VERSION] --with-secrets",
		Short: "Print a whole state file, with what is sensitive in it",
		Long: `Print the whole state file of a region, as terraform wrote it. It may hold secrets in clear: --with-secrets says that you know.
It is audited. --out writes a file that only you may read, and refuses one that is there.`,
		Args: arguments(2, 3, "the name of a database, a region, and at most one version"),
		RunE: func(c *cobra.Command, args []string) error {
			if !secrets {
				return &exitError{
					Code: exitRefused, What: "a state file may hold secrets in clear",
					Next: "say that you know with --with-secrets, or look at it masked with `meridian state show`",
				}
			}
			client, err := a.dial()
			if err != nil {
				return err
			}
			v, err := client.PullState(c.Context(), a.ref(args), a.actor())
			if err != nil {
				return err
			}
			if out == "" {
				_, err = fmt.Fprint(a.stdout, v.State)
				return err
			}
			if err := writeNew(out, []byte(v.State)); err != nil {
				return err
			}
			a.progress("version %s is in %s", v.Version, out)
			return nil
		},
	}
	c.Flags().BoolVar(&secrets, "with-secrets", false, "yes, the file may hold secrets in clear")
	c.Flags().StringVar(&out, "out", "", "write to this new file (mode 0600) instead of printing")
	return c
}

// writeNew writes a file that only its owner may read, and that was not there.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &exitError{Code: exitFailed, What: path + " is there already", Next: "name a file that is not"}
	}
	if err != nil {
		return &exitError{Code: exitFailed, What: err.Error(), Next: "name a file that can be written"}
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func newStateRestore(a *app) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "restore NAME REGION VERSION",
		Short: "Make an old version of a region's state the newest",
		Long: `Make an old version of a region's state the newest one, with the next serial and the same lineage, after what differs was shown. It is
audited, and refused while a run works on the database. Nothing in the world changes by it: what the old version does not know, the next
plan does not know either, and would make anew (see "meridian orphans").`,
		Args: arguments(3, 3, "the name of a database, a region and a version"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			ref := a.ref(args)
			newest := ref
			newest.Version = ""
			all, err := client.States(c.Context(), ref.Namespace, ref.Name, ref.Region)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return &exitError{Code: exitNotFound, What: "no version is kept", Next: a.call("describe " + ref.Name)}
			}
			if all[0].Damaged != "" {
				a.progress("the newest version, %s, is damaged: what differs cannot be shown", all[0].Version)
			} else {
				newest.Version = all[0].Version
				d, err := client.DiffStates(c.Context(), newest, ref.Version)
				if err != nil {
					return err
				}
				fmt.Fprintln(a.stderr, stateDiffText(d, a.style))
			}
			if err := a.sure(c.Context(), yes, fmt.Sprintf("Make %s the newest state of %s in %s?", ref.Version, ref.Name, ref.Region)); err != nil {
				return err
			}
			v, err := client.RestoreState(c.Context(), orchestrator.RestoreStateRequest{StateRef: ref, Expect: all[0].Version, Actor: a.actor()})
			if err != nil {
				return err
			}
			a.progress("restored as %s; see what the next apply would change with `meridian plan`", v.Version)
			return a.printVersions([]orchestrator.StateVersionView{v})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// sure asks a person for a yes, unless it was given; where nobody can be asked, that is an error.
func (a *app) sure(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !a.interactive() {
		return &exitError{Code: exitNeedsApproval, What: "nobody can be asked here", Next: "look at what is shown above, then say --yes"}
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	got, err := a.readAnswer(ctx)
	if err != nil {
		return err
	}
	if got = strings.ToLower(strings.TrimSpace(got)); got != "y" && got != "yes" {
		return &exitError{Code: exitNeedsApproval, What: "not done: nothing was changed"}
	}
	return nil
}
