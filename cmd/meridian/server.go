package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator/api"
)

// defaultListen is where a server listens unless told otherwise.
const defaultListen = "127.0.0.1:7480"

type serverFlags struct {
	listen    string
	anyPort   bool // where listen is taken, any free port is as good
	ui        bool
	hosts     []string
	store     string
	config    string
	terraform string
	noWorker  bool
	logFlags
}

func newServer(a *app) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:   "server",
		Short: "Run the server",
		Long: `Run Meridian's server on this machine. It prints one line when it is ready, and runs until Ctrl-C or SIGTERM.
Databases and running terraforms go on without it; what was in progress is picked up at the next start.

It listens on loopback addresses only. Clients on this machine find it, and its token, in the data directory.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			logger, err := f.logger(a)
			if err != nil {
				return err
			}
			dir, err := a.dataDir()
			if err != nil {
				return err
			}
			return runServer(c.Context(), dir, f, logger, func(url string) {
				fmt.Fprintf(a.stdout, "meridian is ready: %s (data %s)\n", url, dir)
			})
		},
	}
	f.register(c)
	c.Flags().StringVar(&f.config, "config", "", "settings file: where store and Temporal keep their state (MERIDIAN_CONFIG)")
	c.Flags().BoolVar(&f.noWorker, "no-worker", false, "leave the work to workers in processes of their own (meridian worker)")
	return c
}

func (f *serverFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.listen, "listen", defaultListen, "loopback address to listen on; port 0 takes a free one")
	c.Flags().BoolVar(&f.ui, "ui", true, "serve Temporal's Web UI")
	c.Flags().StringSliceVar(&f.hosts, "allow-host", nil, "accept requests for this host name too (behind a proxy of yours)")
	c.Flags().StringVar(&f.store, "store", "", "postgres://USER@HOST/DATABASE, or file:PATH of a file that holds it (MERIDIAN_STORE; SQLite in the data directory unless said)")
	c.Flags().StringVar(&f.terraform, "terraform", "", "terraform (or OpenTofu) binary to use (MERIDIAN_TERRAFORM; found in PATH unless said)")
	f.logFlags.register(c)
}

// runServer listens, locks the data directory, opens the parts, calls ready, and serves until ctx ends.
func runServer(ctx context.Context, dir string, f serverFlags, logger *slog.Logger, ready func(url string)) error {
	if openBackend == nil {
		return errors.New("this build has no server in it")
	}
	set, err := loadSettings(f.config)
	if err != nil {
		return err
	}
	l, err := listen(f.listen) // first: a server that cannot listen leaves nothing behind
	if err != nil && f.anyPort {
		l, err = listen("127.0.0.1:0")
	}
	if err != nil {
		return heldOr(dir, err)
	}
	defer l.Close()
	if err := makeDataDir(dir); err != nil {
		return err
	}
	unlock, err := lockDataDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	token, err := ensureToken(dir)
	if err != nil {
		return err
	}
	url := "http://" + l.Addr().String()
	if f.terraform == "" {
		f.terraform = os.Getenv("MERIDIAN_TERRAFORM")
	}
	where, err := set.where(ctx, f.store, dir)
	if err != nil {
		return err
	}
	b, err := openBackend(ctx, serveOptions{
		Data: dir, Store: where, Temporal: set.Temporal, Modules: set.Modules, Retention: set.Retention.kept(), URL: url, UI: f.ui, NoWorker: f.noWorker, Terraform: f.terraform, Authorized: api.Bearer(token),
	}, logger)
	if err != nil {
		return err
	}
	defer within(stopLimit, logger, b.Close)
	if err := writeServerInfo(dir, serverInfo{
		URL: url, PID: os.Getpid(), Version: version(), Terraform: f.terraform, Elsewhere: where != dir, External: set.Temporal.External != nil,
	}); err != nil {
		return fmt.Errorf("tell clients where the server is: %w", err)
	}
	defer os.Remove(filepath.Join(dir, serverFile))
	handler := api.New(api.Options{
		Service: b.Service, Token: token, Version: version(), Web: b.Web, LoginURL: b.LoginURL, Hosts: f.hosts, Logger: logger,
	})
	ready(url)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-b.Failed: // nil, and so never, where nothing can fail
			stop()
		case <-serving.Done():
		}
	}()
	err = api.Serve(serving, l, handler, logger)
	if err == nil && ctx.Err() == nil && b.Err != nil {
		if failed := b.Err(); failed != nil {
			return fmt.Errorf("temporal has failed, and the server with it; runs go on at the next start: %w", failed)
		}
	}
	return err
}

// heldOr says that another server holds the data directory, where one does: it has the port too, and it is the one that is wanted. It makes nothing.
func heldOr(dir string, taken error) error {
	if _, err := os.Stat(filepath.Join(dir, lockFile)); err != nil {
		return taken
	}
	unlock, err := lockDataDir(dir)
	if err != nil {
		return err
	}
	unlock()
	return taken
}

// listen opens a loopback address; a taken or foreign one is an error that says what to do.
func listen(address string) (net.Listener, error) {
	if !isLocalAddress(address) {
		return nil, &exitError{
			Code: exitFailed, What: fmt.Sprintf("--listen %s: want a loopback address with a port, like %s", address, defaultListen),
			Next: "put a proxy or a tunnel of yours in front of it to be reached from elsewhere (see --allow-host)",
		}
	}
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &exitError{
			Code: exitFailed, What: address + " is taken by another program",
			Next: "choose another with --listen HOST:PORT; port 0 takes a free one",
		}
	case err != nil:
		return nil, &exitError{Code: exitFailed, What: "listen: " + err.Error(), Next: "choose another with --listen HOST:PORT"}
	}
	return l, nil
}

// stopLimit bounds the stop of a server's parts: together with what the API grants its last requests, a server stops within 5 s.
const stopLimit = 3 * time.Second

// within runs what stops something, for at most the limit: what has not stopped then ends with the process, and loses nothing by it.
func within(limit time.Duration, logger *slog.Logger, stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		stop()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		logger.Warn("not everything has stopped in time; it ends with the process", "limit", limit)
	}
}
