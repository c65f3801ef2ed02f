// Command recovery measures how long it takes from a kill until a run goes on, with the durations that users have; `make recovery-times` calls
// it. It prints rows for the table in docs/reliability.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"meridian/orchestrator/e2e/chaos"
)

func main() {
	if entered, err := chaos.Entered(os.Args[1:]); entered {
		fmt.Fprintln(os.Stderr, "recovery:", err)
		os.Exit(1)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "recovery:", err)
		os.Exit(1)
	}
}

func run() error {
	bin := flag.String("bin", "bin", "directory of meridian, meridian-runner, terraform-provider-localdb and, for sites, chaos")
	samples := flag.Int("samples", 20, "how often each kind of death on one machine is measured")
	ofSites := flag.Int("sites", 0, "how often the death of a whole site is measured; one takes more than a lease, which is ten minutes")
	first := flag.Int("from", 1, "with which row to begin")
	flag.Parse()
	root, o, err := chaos.Root(*bin)
	if err != nil {
		return err
	}
	o.Directories, o.Delay, o.Patience, o.Lease, o.Log = 3, 1500*time.Millisecond, 30*time.Minute, chaos.DefaultLease, os.Stderr
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	times, err := chaos.Recovery(ctx, o, *first, *samples, *ofSites)
	chaos.Clear(o.Data)
	fmt.Println("| who was killed | counted until | at most | n | median (s) | p95 (s) |\n| --- | --- | --- | --- | --- | --- |")
	for _, t := range times {
		fmt.Println(t)
	}
	if err != nil {
		return fmt.Errorf("%w; all of it is kept in %s", err, root)
	}
	return os.RemoveAll(root)
}
