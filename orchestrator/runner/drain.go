package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"meridian/stacks/terraform"
)

// drainLook is how often a drain looks what still runs, and drainAdopt how often it starts a runner for a terraform that has none.
const (
	drainLook  = 200 * time.Millisecond
	drainAdopt = 5 * time.Second
)

// mainDrain tells the site's runners that the host shuts down and waits until none of them and no terraform is left. It needs no store:
// that may be gone already. Whoever calls it bounds its time; to end it changes nothing for the runners.
func mainDrain(o options, log *slog.Logger) int {
	if o.undo {
		if err := stay(o.site); err != nil {
			log.Error("drain", "error", err)
			return terraform.ExitError
		}
		return terraform.ExitDone
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	boot, err := bootID()
	if err == nil {
		err = writeLeaving(terraform.Clock{}, o.site, boot, o.finish)
	}
	if err == nil {
		d := drain{worker: &worker{site: o.site, log: log, boot: boot}, told: map[process]bool{}, adopted: map[string]time.Time{}}
		err = d.run(ctx)
	}
	if err != nil {
		log.Error("drain", "error", err)
		return terraform.ExitError
	}
	return terraform.ExitDone
}

// drain is one wait for a site's runners.
type drain struct {
	*worker
	told    map[process]bool     // runners that know
	adopted map[string]time.Time // when a runner was last started for a spool
}

func (d drain) run(ctx context.Context) error {
	for begin := time.Now(); ; {
		left, err := d.look()
		if err != nil {
			return err
		}
		if left == 0 {
			d.log.Info("nothing of this site runs any more", "waited", time.Since(begin).Round(time.Millisecond).String())
			return nil
		}
		if !pause(ctx, drainLook) {
			return errors.New("ended before all terraforms were: they go on, or die with the host, and the next boot recovers")
		}
	}
}

// look tells every runner that does not know yet, sees to it that every terraform has a runner, and counts what is left.
func (d drain) look() (left int, err error) {
	spools, err := d.spools()
	if err != nil {
		return 0, err
	}
	for _, sp := range spools {
		att, ok, err := sp.attempt()
		if err != nil || !ok {
			continue // nobody can adopt it now
		}
		runners := holders(d.site.RunnerLock(att.Stack))
		for _, r := range runners {
			left++
			if !d.told[r.process] && r.signal(syscall.SIGTERM) == nil {
				d.told[r.process] = true
			}
		}
		f := family{spool: sp, lock: d.site.StackLock(att.Stack), gone: att.BootID != d.boot}
		if len(runners) > 0 || !f.lives() {
			continue
		}
		left++
		if time.Since(d.adopted[sp.dir]) >= drainAdopt {
			d.adopted[sp.dir] = time.Now()
			if err := d.adopt(att); err != nil {
				d.log.Warn("adopt a terraform that has no runner", "step", att.Step, "error", err)
			}
		}
	}
	return left, nil
}

// adopt starts a runner that takes a terraform up; it reads for itself that the host shuts down.
func (d drain) adopt(att attempt) error {
	if err := os.MkdirAll(d.site.LogDir(), 0o700); err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	out, err := os.OpenFile(filepath.Join(d.site.LogDir(), "drain.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("runner log: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"meridian-runner", terraform.VerbStep, "--data", d.site.Root, "--step", att.Step, "--adopt"}
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}
