package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"meridian/persistence/temporal"
)

// The answers to what a worker does with the steps that are attached to it once it is told to stop.
const (
	drainLeave = "leave"
	drainWait  = "wait"
)

type workerFlags struct {
	drain        string
	drainTimeout time.Duration
	store        string
	config       string
	logFlags
}

func newWorker(a *app) *cobra.Command {
	var f workerFlags
	c := &cobra.Command{
		Use:   "worker",
		Short: "Run a worker beside the server",
		Long: `Run a worker that shares the server's work, on the same machine and data directory, until Ctrl-C or SIGTERM. Any number may run.
Server and workers may be killed at any moment: what one had in its hands is taken up by another.

Without a server it waits for one; while the server is away it waits too, and goes on. It takes terraform's path from the server.
A worker of another version than the server's ends, so that it can be started anew from the same files.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			logger, err := f.logger(a)
			if err != nil {
				return err
			}
			if f.drain != drainLeave && f.drain != drainWait {
				return usage("unknown --drain %q: want leave or wait", f.drain)
			}
			if f.drain == drainWait && f.drainTimeout <= 0 {
				return usage("--drain-timeout %s: want a time to wait, like 30m", f.drainTimeout)
			}
			dir, err := a.dataDir()
			if err != nil {
				return err
			}
			return runWorker(c.Context(), dir, f, logger, func(url string) {
				fmt.Fprintf(a.stdout, "meridian worker is ready: shares the work of %s (data %s)\n", url, dir)
			})
		},
	}
	c.Flags().StringVar(&f.drain, "drain", drainLeave, "when told to stop: leave at once (terraform goes on), or wait for the steps it watches")
	c.Flags().DurationVar(&f.drainTimeout, "drain-timeout", 30*time.Minute, "how long --drain=wait waits at most")
	c.Flags().StringVar(&f.store, "store", "", "the server's store, where it is not in the data directory: as for the server (MERIDIAN_STORE)")
	c.Flags().StringVar(&f.config, "config", "", "the settings file that the server has (MERIDIAN_CONFIG)")
	f.logFlags.register(c)
	return c
}

// serverLook is how often a worker looks whether its server is there, and which one it is.
const serverLook = 250 * time.Millisecond

// sayAgain is how often a worker that waits says so again.
const sayAgain = time.Minute

// joined is a worker that takes part in the server's work.
type joined interface {
	// Alive reports whether the server answers.
	Alive(ctx context.Context) bool
	// Failed is closed when the worker can work no more; Err says why.
	Failed() <-chan struct{}
	Err() error
	// Close leaves.
	Close()
}

// joinOptions say how a worker takes part.
type joinOptions struct {
	Data  string
	Store string // Data, or a URL that may hold a password
	// Temporal is where the server's Temporal is.
	Temporal temporal.Settings
	Server   serverInfo
	Drain    time.Duration
}

// joinServer opens what a worker is made of and takes part in the server's work. Tests of the CLI put a fake here.
var joinServer func(ctx context.Context, o joinOptions, logger *slog.Logger) (joined, error)

// errNotYet means that there is no server to join, and there may be one later.
var errNotYet = errors.New("no server yet")

// runWorker waits for the server, takes part in its work, and goes on until ctx ends or the server is of another version.
func runWorker(ctx context.Context, dir string, f workerFlags, logger *slog.Logger, ready func(url string)) error {
	if joinServer == nil {
		return errors.New("this build has no worker in it")
	}
	set, err := loadSettings(f.config)
	if err != nil {
		return err
	}
	where, err := set.where(ctx, f.store, dir)
	if err != nil {
		return err
	}
	o := joinOptions{Data: dir, Store: where, Temporal: set.Temporal}
	if f.drain == drainWait {
		o.Drain = f.drainTimeout
	}
	w, err := waitForServer(ctx, &o, logger)
	if err != nil || w == nil {
		return err
	}
	defer w.Close()
	ready(o.Server.URL)
	return stayJoined(ctx, dir, w, logger)
}

// waitForServer joins the server as soon as one is there, and says in o which. It returns nothing where ctx ends first.
func waitForServer(ctx context.Context, o *joinOptions, logger *slog.Logger) (joined, error) {
	look := time.NewTicker(serverLook)
	defer look.Stop()
	var said time.Time
	for {
		w, err := tryJoin(ctx, o, logger)
		if w != nil || err != nil && !errors.Is(err, errNotYet) && ctx.Err() == nil {
			return w, err
		}
		if ctx.Err() == nil && time.Since(said) >= sayAgain {
			said = time.Now()
			logger.Warn("waiting for the server", "reason", err.Error())
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// tryJoin joins the server if one is there; errNotYet says that there may be one later.
func tryJoin(ctx context.Context, o *joinOptions, logger *slog.Logger) (joined, error) {
	info, err := readServerInfo(o.Data)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, &exitError{Code: exitNotLoggedIn, What: "the data directory " + o.Data + " belongs to somebody else", Next: "run the worker as the server's user"}
	case err != nil:
		return nil, fmt.Errorf("%w: none runs on the data directory %s: start one with `meridian server`, or name its directory with --data", errNotYet, o.Data)
	case info.Version != version():
		return nil, fmt.Errorf("%w: the server is of version %s, this worker of %s: start the server anew", errNotYet, info.Version, version())
	case info.Elsewhere != (o.Store != o.Data):
		return nil, &exitError{
			Code: exitFailed, What: "the server and this worker were not given the same store",
			Next: "give the worker the --store (or MERIDIAN_STORE) that the server has",
		}
	case info.External != (o.Temporal.External != nil):
		return nil, &exitError{
			Code: exitFailed, What: "the server and this worker were not given the same settings: one uses an external Temporal, the other does not",
			Next: "give the worker the --config that the server has",
		}
	}
	o.Server = info
	return joinServer(ctx, *o, logger)
}

// stayJoined watches the server until ctx ends. One that is away is waited for; one of another version ends this worker.
func stayJoined(ctx context.Context, dir string, w joined, logger *slog.Logger) error {
	look := time.NewTicker(4 * serverLook)
	defer look.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Failed():
			return fmt.Errorf("temporal refuses this worker; start it again: %w", w.Err())
		case <-look.C:
		}
		if info, err := readServerInfo(dir); err == nil && info.Version != version() {
			return &exitError{
				Code: exitFailed, What: fmt.Sprintf("the server is of version %s now, this worker of %s: it leaves, and what it had in its hands goes on", info.Version, version()),
				Next: "start the worker anew from the server's files; systemd's Restart=always does so",
			}
		}
		alive := w.Alive(ctx)
		switch {
		case ctx.Err() != nil:
		case !alive && !away:
			logger.Warn("the server is away: waiting for it; terraform goes on")
		case alive && away:
			logger.Info("the server is back")
		}
		away = !alive
	}
}
