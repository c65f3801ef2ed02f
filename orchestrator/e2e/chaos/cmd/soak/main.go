// Command soak replaces workers every few seconds while databases are made and changed; `make soak` calls it. Its last line is the counts,
// and it ends with 1 where a run failed or a history could not be replayed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"meridian/orchestrator/e2e/chaos"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run() error {
	bin := flag.String("bin", "bin", "directory of meridian, meridian-runner and terraform-provider-localdb")
	lasts := flag.Duration("for", 10*time.Minute, "how long")
	databases := flag.Int("databases", 50, "databases at once, each in one region")
	workers := flag.Int("workers", 3, "worker processes beside the server, which has none")
	flag.Parse()
	root, o, err := chaos.Root(*bin)
	if err != nil {
		return err
	}
	o.Databases, o.Workers, o.Patience, o.Log = *databases, *workers, time.Hour, os.Stderr
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := chaos.Soak(ctx, o, *lasts)
	chaos.Clear(o.Data)
	fmt.Println(result)
	if err == nil && !result.Good(*databases) {
		err = errors.New("something failed")
	}
	if err != nil {
		return fmt.Errorf("%w; all of it is kept in %s", err, root)
	}
	return os.RemoveAll(root)
}
