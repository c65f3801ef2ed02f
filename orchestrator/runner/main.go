package runner

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/google/uuid"

	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// usage is what a person sees who runs the binary by hand.
const usage = `meridian-runner is started by Meridian; it runs one step of terraform on one stack.

  meridian-runner find     --data DIR
  meridian-runner template --data DIR --step STEP
  meridian-runner show     --data DIR --artifact ID
  meridian-runner state    --data DIR --step STEP
  meridian-runner resolve  --data DIR
  meridian-runner sweep    --data DIR
  meridian-runner spooled  --data DIR --file FILE --with-secrets
  meridian-runner drain    --data DIR [--finish TIME] [--undo]
  meridian-runner step     --data DIR --step STEP [--attempt ID] [--adopt]
`

// Main runs one verb and returns the process's exit code. Answers go to out as JSON, logs to logs as JSON lines.
func Main(args []string, out, logs io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(logs, usage)
		return terraform.ExitError
	}
	if args[0] == terraform.VerbShim {
		return mainShim(args[1:], logs)
	}
	o, err := parse(args[0], args[1:], logs)
	if err != nil {
		fmt.Fprintln(logs, "meridian-runner:", err)
		return terraform.ExitError
	}
	log := slog.New(slog.NewJSONHandler(logs, nil)).With("pid", os.Getpid(), "verb", args[0])
	switch args[0] {
	case terraform.VerbStep:
		return mainStep(o, log)
	case terraform.VerbDrain:
		return mainDrain(o, log)
	}
	if args[0] == terraform.VerbSpooled {
		return mainSpooled(o, out, logs)
	}
	answer, err := o.answer(context.Background(), args[0], log)
	if err == nil {
		err = json.NewEncoder(out).Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(logs, "meridian-runner:", err)
		return terraform.ExitError
	}
	return terraform.ExitDone
}

// mainSpooled prints what a sealed file of a spool holds, as it is.
func mainSpooled(o options, out, logs io.Writer) int {
	text, err := spooled(o.site, o.file)
	if err == nil {
		_, err = out.Write(text)
	}
	if err != nil {
		fmt.Fprintln(logs, "meridian-runner:", err)
		return terraform.ExitError
	}
	return terraform.ExitDone
}

// options are the arguments of every verb but the shim's: IDs and paths only.
type options struct {
	site     terraform.Site
	step     string
	attempt  string
	artifact string
	adopt    bool
	finish   time.Duration
	undo     bool
	file     string
	secrets  bool
}

// parse reads the arguments of a verb.
func parse(verb string, args []string, logs io.Writer) (options, error) {
	var o options
	var data string
	fs := flag.NewFlagSet("meridian-runner "+verb, flag.ContinueOnError)
	fs.SetOutput(logs)
	fs.StringVar(&data, "data", "", "data directory of the Meridian")
	switch verb {
	case terraform.VerbFind, terraform.VerbSweep, terraform.VerbResolve:
	case terraform.VerbTemplate, terraform.VerbState:
		fs.StringVar(&o.step, "step", "", "ID of the step")
	case terraform.VerbShow:
		fs.StringVar(&o.artifact, "artifact", "", "ID of the artifact")
	case terraform.VerbStep:
		fs.StringVar(&o.step, "step", "", "ID of the step")
		fs.StringVar(&o.attempt, "attempt", uuid.NewString(), "ID of the attempt")
		fs.BoolVar(&o.adopt, "adopt", false, "only settle what the stack's last attempt left")
	case terraform.VerbSpooled:
		fs.StringVar(&o.file, "file", "", "a sealed file of a spool, "+terraform.SpooledState+" for instance")
		fs.BoolVar(&o.secrets, "with-secrets", false, "print it with what is secret in it, in clear")
	case terraform.VerbDrain:
		fs.DurationVar(&o.finish, "finish", 0, "how long terraform may go on before it is told to stop (0: as the settings say)")
		fs.BoolVar(&o.undo, "undo", false, "the host stays: let runners work again")
	default:
		return o, fmt.Errorf("unknown verb %q: want find, template, show, state, resolve, sweep, spooled, drain or step", verb)
	}
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if data == "" || fs.NArg() > 0 {
		return o, errors.New("want --data DIR and nothing without a flag")
	}
	root, err := filepath.Abs(data)
	if err != nil {
		return o, err
	}
	o.site = terraform.Site{Root: root}
	if fs.Lookup("step") != nil && o.step == "" || fs.Lookup("artifact") != nil && o.artifact == "" {
		return o, fmt.Errorf("%s: want the ID of what to work on", verb)
	}
	if verb == terraform.VerbSpooled && (o.file == "" || !o.secrets) {
		return o, fmt.Errorf("%s: want --file FILE and --with-secrets: what it prints may hold secrets in clear", verb)
	}
	return o, nil
}

// mainStep runs one step. No signal stops it at once: SIGTERM says that the host shuts down (shutdown.go), and who ends the runner leaves
// terraform alone.
func mainStep(o options, log *slog.Logger) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	told := &departure{}
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				told.begin(terraform.Clock{}, log)
				continue
			}
			log.Info("signal ignored", "signal", s.String())
		}
	}()
	log = log.With("step", o.step, "attempt", o.attempt)
	debug.SetGCPercent(400) // a step is short and small: collecting would cost more than it frees
	ctx := context.Background()
	w, err := openWorker(ctx, o.site, log)
	if err != nil {
		log.Error("start", "error", err)
		return terraform.ExitError
	}
	defer w.close()
	w.told = told
	return w.runStep(ctx, stepOptions{step: o.step, attempt: o.attempt, adopt: o.adopt})
}

// mainShim reads the shim's arguments: --spool DIR [--plugin FILE --provider SOURCE] -- COMMAND...
func mainShim(args []string, logs io.Writer) int {
	var spoolDir string
	var plugin launch.Plugin
	fs := flag.NewFlagSet("meridian-runner shim", flag.ContinueOnError)
	fs.SetOutput(logs)
	fs.StringVar(&spoolDir, "spool", "", "directory of the attempt")
	fs.StringVar(&plugin.File, "plugin", "", "file of the plugin to start beside the command")
	fs.StringVar(&plugin.Source, "provider", "", "full source of the provider that this plugin is")
	if err := fs.Parse(args); err != nil || spoolDir == "" || fs.NArg() == 0 {
		fmt.Fprintln(logs, "meridian-runner: shim is started by step alone")
		return terraform.ExitError
	}
	return runShim(spoolDir, plugin, fs.Args())
}
