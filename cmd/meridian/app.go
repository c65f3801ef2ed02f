package main

import (
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"meridian/stacks"
)

// app is what every verb has at hand: the streams and the global flags.
type app struct {
	stdin  *os.File
	stdout io.Writer
	stderr io.Writer
	style  style

	namespace string
	server    string
	data      string
	output    string
	noColor   bool
}

func newApp(stdin *os.File, stdout, stderr io.Writer) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr}
}

// newRoot builds the whole command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "meridian",
		Short: "A durable control plane for multi-region databases",
		Long: `Meridian makes the databases that a spec asks for, in every region it names, and keeps at it until they are
ready and replicate: over crashes, deploys and weekends.

Start a server with "meridian server", then "meridian apply -f spec.yaml". "meridian demo" does both.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			a.style = newStyle(a.color())
			if !knownFormat(a.output) {
				return usage("unknown output format %q: want table, json or yaml", a.output)
			}
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.namespace, "namespace", "n", "", `namespace of the database ("default" unless said)`)
	flags.StringVar(&a.server, "server", "", "address of the server (MERIDIAN_SERVER; the local server unless said)")
	flags.StringVar(&a.data, "data", "", "data directory of the local server (MERIDIAN_DATA)")
	flags.StringVarP(&a.output, "output", "o", "table", "output format: table, json or yaml")
	flags.BoolVar(&a.noColor, "no-color", false, "print without colours (NO_COLOR)")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{Code: exitFailed, What: err.Error(), Next: "see `" + c.CommandPath() + " --help`"}
	})
	root.AddCommand(
		newServer(a), newWorker(a), newApply(a), newPlan(a), newValidate(a), newRender(a), newDestroy(a), newGet(a), newDescribe(a),
		newConnect(a), newRun(a), newOpen(a), newDoctor(a), newDemo(a), newVersion(a),
		newState(a), newImport(a), newFsck(a), newBackup(a), newRestore(a), newTf(a), newOrphans(a), newKeys(a), newSite(a), newPersistence(a), newDrift(a),
	)
	return root
}

// usage is the error of a wrong command line.
func usage(format string, args ...any) error {
	return &exitError{Code: exitFailed, What: fmt.Sprintf(format, args...)}
}

// arguments wants between least and most arguments, and says what they are.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return &exitError{
			Code: exitFailed, What: fmt.Sprintf("%s wants %s, got %d arguments", c.CommandPath(), what, len(args)),
			Next: "see `" + c.CommandPath() + " --help`",
		}
	}
}

// ns is the namespace that a verb on one database works in.
func (a *app) ns() string {
	if a.namespace == "" {
		return stacks.DefaultNamespace
	}
	return a.namespace
}

// actor is who asks, for the audit.
func (a *app) actor() string {
	name := "uid " + fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// interactive reports whether a person can be asked: both ends are a terminal.
func (a *app) interactive() bool {
	return a.stdin != nil && term.IsTerminal(int(a.stdin.Fd())) && a.liveTerminal() != nil
}

// liveTerminal is stderr where it is a terminal that can redraw, else nil.
func (a *app) liveTerminal() *os.File {
	if !isTerminal(a.stderr) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return a.stderr.(*os.File)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) color() bool {
	return !a.noColor && os.Getenv("NO_COLOR") == "" && a.liveTerminal() != nil
}

// progress prints one line for a person.
func (a *app) progress(format string, args ...any) {
	fmt.Fprintln(a.stderr, printable(fmt.Sprintf(format, args...)))
}

func since(t time.Time, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero() || d < 0:
		return ""
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return d.Truncate(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
