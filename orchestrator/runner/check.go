package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// runCheck plans in a scratch copy and stores the result. It takes no head, stack lock or fence, nothing of it is ever applied, and
// nothing is lost if it dies: its terraform is an ordinary child. Only one runner makes a check at a time.
func (w *worker) runCheck(ctx context.Context, step journal.Step, o stepOptions) error {
	if done, err := w.hasResult(ctx, step.ID); err != nil || done || o.adopt {
		return err
	}
	scratch := w.site.CheckDir(step.ID)
	checking, err := tryLock(scratch + terraform.ScratchLockEnd)
	if err != nil {
		return err
	}
	if checking == nil {
		return errBusy
	}
	defer checking.close()
	defer w.cleanCheck(scratch)
	if done, err := w.hasResult(ctx, step.ID); err != nil || done {
		return err
	}
	res, err := w.check(ctx, step, filepath.Join(scratch, o.attempt))
	if r := new(refusal); errors.As(err, &r) {
		now := time.Now().UTC()
		res = journal.Result{Outcome: r.outcome, ExitCode: -1, Retryable: r.retryable, StartedAt: now, FinishedAt: now}
		res.Diagnostics = append(res.Diagnostics, r.diag)
	} else if err != nil {
		return err
	}
	res.Step = step.ID
	return w.journal.FinishCheck(ctx, res)
}

// cleanCheck removes the scratch copy, its lock's file last.
func (w *worker) cleanCheck(scratch string) {
	for _, path := range []string{scratch, scratch + terraform.ScratchLockEnd} {
		if err := os.RemoveAll(path); err != nil {
			w.log.Warn("clean a check", "error", err)
		}
	}
	prune(scratch, 2)
}

// check stages the scratch copy, plans and reads the plan. An attempt has a directory of its own, so what a killed one left cannot meet it.
func (w *worker) check(ctx context.Context, step journal.Step, dir string) (journal.Result, error) {
	var res journal.Result
	p, err := w.prepare(ctx, step)
	if err != nil {
		return res, err
	}
	if w.timing.PlanHang > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, w.timing.PlanHang)
		defer stop()
	}
	slot, err := w.takeTokens(ctx, step.Kind, step.Stack.Memory)
	if err != nil {
		return res, err
	}
	defer slot.close()
	res = journal.Result{Serial: p.state.Serial, Launches: 1, StartedAt: time.Now().UTC()}
	if err := stage(dir, p); err != nil {
		return res, stageRefusal(err)
	}
	outputPath := filepath.Join(filepath.Dir(dir), filepath.Base(dir)+".ndjson")
	exit, err := w.runPlan(ctx, p, dir, outputPath)
	if err != nil {
		return res, err
	}
	veil, err := w.veilOf(ctx, step, p.state, nil)
	if err != nil {
		return res, err
	}
	said := readOutput(outputPath, func(line []byte) []byte { return veil.hide(line, nil) })
	res.Outcome, res.ExitCode, res.Diagnostics = outcomeOf(step.Kind, exit, true, nil), exit.Code, said.diagnostics
	if res.Outcome == journal.OutcomeChanges || res.Outcome == journal.OutcomeUnchanged {
		if err := readCheck(ctx, &res, p, dir); err != nil {
			return res, err
		}
	}
	explain(&res, exit, said.last, nil)
	res.FinishedAt = time.Now().UTC()
	return res, nil
}

// readCheck reads what the check found. A plan that changes nothing is read for what its refresh found alone, and not at all where only
// another launch of terraform could tell.
func readCheck(ctx context.Context, res *journal.Result, p *prepared, dir string) error {
	plan, err := readPlanFile(dir)
	if err != nil {
		return refuse(RulePlanUnreadable, "The plan could not be read", err.Error(), "check again")
	}
	read, shown, err := readPlan(ctx, plan, p.step.Stack, res.Outcome == journal.OutcomeChanges, launch.Call{Binary: p.binary, Dir: dir, Env: environment(dir, nil)})
	if shown {
		res.Launches++
	}
	if err == nil {
		if res.Outcome == journal.OutcomeChanges {
			res.Changes = read.Changes
			err = terraform.MarkEchoes(plan, res.Changes)
		}
	}
	if err == nil {
		res.Moved, err = terraform.MovedAttributes(plan, read.Drift)
	}
	if err != nil {
		return refuse(RulePlanUnreadable, "The plan could not be read", err.Error(), "check again")
	}
	return nil
}

// runPlan runs the plan of a check to its end. Its plugin dies with this runner: nobody else would end it.
func (w *worker) runPlan(ctx context.Context, p *prepared, dir, outputPath string) (exitRecord, error) {
	out, err := os.OpenFile(outputPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return exitRecord{}, fmt.Errorf("check: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.CommandContext(ctx, p.binary.Path, launch.PlanArgs(launch.PlanOptions{Destroy: p.step.Destroy, Check: true})...)
	cmd.Dir, cmd.Env = dir, p.environment(dir)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if private := w.privatePlugin(p); private.File != "" {
		runtime.LockOSThread() // the signal at a parent's death is bound to the thread that started the child
		defer runtime.UnlockOSThread()
		c := exec.Command(private.File)
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		plugin, err := startPlugin(c, private.Source, cmd.Env, dir)
		if err == nil {
			defer plugin.end()
			cmd.Env = append(cmd.Env, plugin.variable())
		} else {
			w.log.Warn("terraform starts the plugin itself", "error", err)
		}
	}
	exit := exitRecord{}
	var ended *exec.ExitError
	if err := cmd.Run(); errors.As(err, &ended) {
		exit.Code = ended.ExitCode()
		if ws, ok := ended.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			exit.Signal = ws.Signal().String()
		}
	} else if err != nil {
		exit.Code, exit.Error = -1, err.Error()
	}
	return exit, nil
}
