package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/stacks"
)

// demoSpec is examples/orders.yaml, byte for byte.
//
//go:embed demo.yaml
var demoSpec string

// demoMark is the file that makes a data directory the demo's: only such a one is ever removed.
const demoMark = "demo"

type demo struct {
	*app
	dir    string
	flags  serverFlags
	client *api.HTTPClient
	once   bool
	// timeout bounds the wait for each run, 0 not at all.
	timeout time.Duration
}

func newDemo(a *app) *cobra.Command {
	d := &demo{app: a}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Start a server and make a database in two linked regions of this machine",
		Long: `Start a server with a data directory of its own, submit examples/orders.yaml, and show the run until both regions are ready
and a row written in one was read in the other. The server then runs until Ctrl-C; the databases stay.

--once tears everything down again and leaves nothing.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if err := refuseForeign(c); err != nil {
				return err
			}
			d.flags.anyPort = !c.Flags().Changed("listen")
			if !d.flags.anyPort { // looked at before anything is made
				l, err := listen(d.flags.listen)
				if err != nil {
					return err
				}
				l.Close()
			}
			if d.dir, err = demoDir(a.data); err != nil {
				return err
			}
			return d.serve(c.Context())
		},
	}
	d.flags.register(c)
	c.Flags().BoolVar(&d.once, "once", false, "tear everything down at the end and leave nothing")
	c.Flags().DurationVar(&d.timeout, "timeout", 0, "give up on a run after this long, with exit code 9")
	return c
}

// refuseForeign refuses the global flags that mean nothing to a demo.
func refuseForeign(c *cobra.Command) error {
	for _, f := range []struct{ name, next string }{
		{"server", "it starts a server of its own; on another one: " + selfName() + " apply -f examples/orders.yaml"},
		{"namespace", "its example is in namespace " + stacks.DefaultNamespace},
		{"output", "it prints for people; apply, get and describe print for programs"},
	} {
		if c.Flags().Changed(f.name) {
			return &exitError{Code: exitFailed, What: "the demo takes no --" + f.name, Next: f.next}
		}
	}
	return nil
}

func demoDir(flag string) (string, error) {
	if flag == "" {
		return defaultDataDir("meridian-demo")
	}
	abs, err := filepath.Abs(flag)
	if err != nil {
		return "", fmt.Errorf("data directory %s: %w", flag, err)
	}
	return abs, nil
}

// serve runs the story beside a server in this process, and stops the server at its end.
func (d *demo) serve(ctx context.Context) error {
	if err := d.claim(); err != nil {
		return err
	}
	logs, err := os.OpenFile(filepath.Join(d.dir, "server.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer logs.Close()
	logger, err := d.flags.logger(&app{stderr: logs})
	if err != nil {
		return err
	}
	// The server outlives Ctrl-C until the story has seen it.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	d.progress("starting the server (data %s, log %s)", d.dir, logs.Name())
	ready, stopped := make(chan string, 1), make(chan error, 1)
	go func() {
		stopped <- runServer(serving, d.dir, d.flags, logger, func(url string) { ready <- url })
	}()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case url := <-ready:
		d.progress("the server is ready: %s", url)
		err = d.story(ctx, url, stopped)
	}
	var stays []string
	if err != nil || !d.once {
		stays = d.stays(ctx)
	}
	stop()
	if serverErr := <-stopped; err == nil {
		err = serverErr
	}
	return d.leave(err, stays)
}

// claim makes the data directory, or takes one that an earlier demo made.
func (d *demo) claim() error {
	mark := filepath.Join(d.dir, demoMark)
	entries, err := os.ReadDir(d.dir)
	if err == nil && len(entries) > 0 {
		if _, err := os.Stat(mark); err != nil {
			return &exitError{
				Code: exitFailed, What: d.dir + " holds something that no demo made", Next: "choose a new or empty directory with --data DIR",
			}
		}
		return nil
	}
	if err := makeDataDir(d.dir); err != nil {
		return err
	}
	if err := os.WriteFile(mark, []byte("made by meridian demo, which may remove this directory\n"), 0o600); err != nil {
		return &exitError{Code: exitFailed, What: "make the demo's directory: " + err.Error(), Next: "choose another with --data DIR"}
	}
	return nil
}

// story submits the example, shows the run and what came of it, then waits for Ctrl-C or tears all down.
func (d *demo) story(ctx context.Context, url string, stopped chan error) error {
	token, err := readToken(filepath.Join(d.dir, tokenFile))
	if err != nil {
		return err
	}
	if d.client, err = api.NewHTTPClient(api.ClientOptions{URL: url, Token: token, Away: d.away}); err != nil {
		return err
	}
	defer d.client.Close()
	started := time.Now()
	runs, err := d.submit(ctx, d.client, orchestrator.SubmitRequest{
		Documents: []orchestrator.Document{{File: "examples/orders.yaml", Text: demoSpec}}, Yes: true, Actor: d.actor(),
	})
	if err != nil {
		return err
	}
	views, err := d.follow(ctx, d.client, runs, followOptions{Passive: true, Timeout: d.timeout})
	if err == nil {
		err = d.outcome(views)
	}
	if err != nil {
		return err
	}
	db, err := d.client.Database(ctx, views[0].Namespace, views[0].Name)
	if err != nil {
		return err
	}
	if err := d.result(ctx, db, time.Since(started)); err != nil {
		return err
	}
	if d.once {
		return d.tearDown(ctx, db)
	}
	d.commands(db, url)
	select {
	case <-ctx.Done():
		return nil
	case err := <-stopped:
		stopped <- err
		return err
	}
}

// result prints what stands now, and fails where the promise is not kept.
func (d *demo) result(ctx context.Context, db orchestrator.DatabaseView, took time.Duration) error {
	fmt.Fprintf(d.stdout, "\n%s/%s is %s after %.1f s\n\n", db.Namespace, db.Name, db.Phase, took.Seconds())
	for _, r := range db.Regions {
		v, err := d.client.Connect(ctx, orchestrator.ConnectRequest{Namespace: db.Namespace, Name: db.Name, Region: r.Name, Actor: d.actor()})
		if err != nil {
			return err
		}
		fmt.Fprintf(d.stdout, "  %-10s %-8s %-8s %s\n", r.Name, r.Role, r.Phase, connectionURL(v))
		if r.Phase != string(stacks.RegionReady) {
			return fmt.Errorf("region %s is %s: %s", r.Name, r.Phase, r.Message)
		}
	}
	for _, l := range db.Links {
		if l.VerifiedAt == nil {
			return fmt.Errorf("link %s is %s and not verified: %s", l.Name, l.Phase, l.Message)
		}
		fmt.Fprintf(d.stdout, "  %s  a row written in %s was read in %s, lag %s\n", l.Name, l.From, l.To, lag(l.LagMS))
	}
	return nil
}

// commands prints what to try next.
func (d *demo) commands(db orchestrator.DatabaseView, url string) {
	self := selfName()
	replica := db.Regions[len(db.Regions)-1].Name
	fmt.Fprintf(d.stdout, "\nTry next, in another terminal:\n\n  export MERIDIAN_DATA=%s\n", quote(d.dir))
	for _, c := range []string{
		"describe " + db.Name, "connect " + db.Name + " --psql", "connect " + db.Name + " " + replica + " --psql",
		"apply -f examples/orders.yaml", "run list", "open", "destroy " + db.Name,
	} {
		fmt.Fprintf(d.stdout, "  %s %s\n", self, c)
	}
	fmt.Fprintf(d.stdout, "\nThe server runs at %s until Ctrl-C.\n", url)
}
