// Command chaos runs the suite of package chaos against the binaries of a directory; `make chaos` calls it. Its last line is the counts, and it
// ends with 1 unless all of them are zero.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"meridian/orchestrator/e2e/chaos"
)

func main() {
	if entered, err := chaos.Entered(os.Args[1:]); entered {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run() error {
	var o chaos.Options
	var bin string
	var plain bool
	flag.StringVar(&bin, "bin", "bin", "directory of meridian, meridian-runner and terraform-provider-localdb")
	flag.Uint64Var(&o.Seed, "seed", 1, "what all decisions follow from")
	flag.IntVar(&o.Kills, "kills", 60, "how many kill points")
	flag.IntVar(&o.Databases, "databases", 3, "databases at once, each in two regions")
	flag.IntVar(&o.Foreign, "foreign", 1, "databases beside these that somebody else's module makes, which Meridian cannot look up")
	flag.IntVar(&o.Directories, "directories", 9, "resources of a stack beside its server")
	flag.IntVar(&o.Workers, "workers", 1, "worker processes beside the server")
	flag.DurationVar(&o.Delay, "delay", 1200*time.Millisecond, "by how much a create is held up")
	flag.DurationVar(&o.Patience, "patience", 8*time.Minute, "how long a run may take before it is stuck")
	flag.StringVar(&o.Control, "control", "", "a protection that is switched off: the suite must fail then")
	flag.BoolVar(&plain, "default-timing", false, "leave Meridian's durations as users have them")
	flag.Func("among", "whom the blows fall on, like server,runner (all unless said)", func(text string) error {
		for _, role := range strings.Split(text, ",") {
			if !slices.Contains(chaos.Roles(), chaos.Role(role)) {
				return fmt.Errorf("%q is none of %v", role, chaos.Roles())
			}
			o.Among = append(o.Among, chaos.Role(role))
		}
		return nil
	})
	flag.BoolVar(&o.Postgres, "postgres", false, "put the rows into a PostgreSQL, which is killed too")
	flag.StringVar(&o.Temporal, "temporal", "", "where Temporal keeps its workflows, with the rows in PostgreSQL: postgres or cassandra, which is killed too")
	flag.IntVar(&o.Sites, "sites", 0, "how many sites the workers are on, with the rows in PostgreSQL and two workers on each; 0 is one machine for all")
	flag.Parse()
	if o.Sites > 0 {
		o.Postgres, o.Workers = true, 2*o.Sites
	}
	o.Postgres = o.Postgres || o.Temporal != ""
	switch o.Control {
	case "", "no-lock", "no-recovery", "no-events", "no-snapshots":
	case "no-fence":
		if o.Sites < 2 {
			return errors.New("on one site the locks keep every second writer out, so this control cannot fail there: add -sites 2")
		}
	default:
		return fmt.Errorf("%q is no control: see `make help`", o.Control)
	}
	o.Lease = chaos.DefaultLease
	if !plain {
		o.Timing, o.Lease = chaos.Scaled(), chaos.ScaledLease
	}
	root, dirs, err := chaos.Root(bin)
	if err != nil {
		return err
	}
	o.Bin, o.Data, o.Aside, o.Log = dirs.Bin, dirs.Data, dirs.Aside, os.Stderr
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Fprintf(os.Stderr, "seed %d, %d kills, %d databases at once, %d resources a stack; in %s\n", o.Seed, o.Kills, o.Databases, o.Directories+1, root)
	result, err := chaos.Run(ctx, o)
	chaos.Clear(o.Data)
	fmt.Fprintf(os.Stderr, "%d applies, %d changes and %d removals done, %d runs cancelled; %d questions answered\n", result.Applied, result.Updated, result.Destroyed, result.Cancelled, result.Answered)
	if o.Postgres {
		fmt.Fprintf(os.Stderr, "%d of the blows fell on the rows' PostgreSQL, %d on Temporal's Cassandra\n", result.Stores, result.Temporals)
	}
	fmt.Println(result)
	if err == nil && !result.Zero() {
		err = fmt.Errorf("something was found; all of it is kept in %s", root)
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(root)
}
