package runner

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// outcomeOf decides how a step ended, from how terraform ended. stopped says that it was told to stop.
// Told so by the end of the lease, or by the shutdown of the host, is an interruption too. No exit code, or death by a signal, is an interruption: what terraform was making is then in the events alone.
func outcomeOf(kind journal.StepKind, exit exitRecord, known bool, stopped *cancelRecord) journal.Outcome {
	clean := known && exit.Signal == "" && exit.Error == ""
	switch {
	case clean && kind == journal.StepApply && exit.Code == 0:
		return journal.OutcomeApplied
	case clean && kind != journal.StepApply && exit.Code == 0:
		return journal.OutcomeUnchanged
	case clean && kind != journal.StepApply && exit.Code == 2:
		return journal.OutcomeChanges
	case stopped != nil && (stopped.Lease || stopped.Shutdown), exit.Error == errLeaseOver:
		return journal.OutcomeInterrupted
	case stopped != nil:
		return journal.OutcomeCancelled
	case clean, known && exit.Error != "":
		return journal.OutcomeFailed
	}
	return journal.OutcomeInterrupted
}

// outcome is the result of the attempt, and the artifact of a plan that changes something.
func (r *run) outcome(ctx context.Context, exit exitRecord, known bool) (journal.Result, *journal.Artifact) {
	said := readOutput(r.tail.where(), func(line []byte) []byte { return r.veil.hide(line, r.newestState()) })
	res := journal.Result{
		Step: r.att.Step, Outcome: outcomeOf(r.att.Kind, exit, known, r.stopped()), ExitCode: exit.Code,
		Serial: r.att.Serial, Diagnostics: said.diagnostics, Launches: 1,
		StartedAt: r.att.StartedAt, FinishedAt: time.Now().UTC(),
	}
	if !known {
		res.ExitCode = -1
	}
	if stopped := r.stopped(); stopped != nil {
		res.StoppedAt = stopped.At
	}
	if st := r.newestState(); st != nil {
		res.Serial = st.Serial
	}
	told := !said.stoppedAt.IsZero()
	if told && res.StoppedAt.IsZero() {
		res.StoppedAt = said.stoppedAt
	}
	if res.Outcome == journal.OutcomeFailed && (told || terraform.PluginDied(res.Diagnostics)) {
		res.Outcome = journal.OutcomeInterrupted
	}
	explainHang(&res, r.stopped())
	var artifact *journal.Artifact
	if res.Outcome == journal.OutcomeChanges {
		var err error
		if artifact, err = r.artifact(ctx, &res); err != nil {
			res.Outcome, artifact = journal.OutcomeFailed, nil
			res.Diagnostics = append(res.Diagnostics, refuse(RulePlanUnreadable, "The plan could not be read", err.Error(), "plan again").diag)
		}
	}
	explain(&res, exit, said.last, r.stopped())
	return res, artifact
}

// explain adds what terraform itself could not say, and decides whether the step may be tried again.
func explain(res *journal.Result, exit exitRecord, last []string, stopped *cancelRecord) {
	add := func(rule, summary, detail, next string) {
		res.Diagnostics = append(res.Diagnostics, refuse(rule, summary, detail, next).diag)
	}
	switch res.Outcome {
	case journal.OutcomeInterrupted:
		detail := "it was killed together with the process that waits for it, so how it ended is not known"
		switch {
		case exit.Error == errLeaseOver:
			detail = exit.Error
		case stopped != nil && stopped.Shutdown:
			detail = "its host shuts down, and the time that it had to finish was over; the run goes on once the host is back, or on another"
		case stopped != nil && stopped.Lease:
			detail = "its site had no sign of life in the store for nearly a lease"
		case exit.Signal != "":
			detail = "it was ended by a signal: " + exit.Signal
		case terraform.PluginDied(res.Diagnostics):
			detail = "the provider's plugin died at work"
		case !res.StoppedAt.IsZero():
			detail = "a signal told it to stop, which Meridian did not send"
		}
		add(RuleInterrupted, "terraform was interrupted", detail, "the newest state is kept; plan again")
	case journal.OutcomeCancelled:
		add(RuleCancelled, "terraform was told to stop", "the run was cancelled while it worked", "apply again to go on from here")
	case journal.OutcomeFailed:
		if !hasError(res.Diagnostics) {
			detail := fmt.Sprintf("exit code %d", exit.Code)
			if exit.Error != "" {
				detail = exit.Error
			}
			if len(last) > 0 {
				detail += "; its last words:\n" + strings.Join(last, "\n")
			}
			add(RuleExit, "terraform failed without a diagnostic", detail, "see `meridian run logs`")
		}
		if errors.Is(terraform.ErrorOf(res.Diagnostics), terraform.ErrStale) {
			add(terraform.RulePlanStale, "The plan is stale", "terraform refused it: the state moved since it was made", "plan again")
		}
		res.Retryable = terraform.Classify(res.Diagnostics)
	}
}

// hasError reports whether one of the diagnostics is an error.
func hasError(diags []stacks.Diagnostic) bool {
	for _, d := range diags {
		if d.Severity == stacks.SeverityError {
			return true
		}
	}
	return false
}

// Bounds of what is kept of terraform's output in a result; the whole of it is in the event stream.
const (
	maxDiagnostics = 100
	lastWords      = 10
)

// output is what terraform said, as far as a result needs it.
type output struct {
	diagnostics []stacks.Diagnostic
	last        []string  // the last lines that were no events: a crash's words
	stoppedAt   time.Time // when a signal told terraform to stop
}

// readOutput reads terraform's whole output, without what hide hides.
func readOutput(path string, hide func([]byte) []byte) output {
	var out output
	f, err := os.Open(path)
	if err != nil {
		return out
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), maxBatchBytes)
	for lines.Scan() {
		out.line(hide(lines.Bytes()))
	}
	return out
}

// line takes one line.
func (o *output) line(text []byte) {
	e, err := terraform.ParseEvent(text)
	if err != nil || e.Type == terraform.EventRaw {
		if words := strings.TrimSpace(string(text)); words != "" {
			if o.last = append(o.last, words); len(o.last) > lastWords {
				o.last = o.last[1:]
			}
		}
		return
	}
	if terraform.ToldToStop(e) && o.stoppedAt.IsZero() {
		o.stoppedAt = e.Time
	}
	if d, ok := terraform.DiagnosticOf(e); ok && len(o.diagnostics) < maxDiagnostics {
		o.diagnostics = append(o.diagnostics, d)
	}
}

// artifact is the plan with all that its apply needs; the changes go into the result too.
func (r *run) artifact(ctx context.Context, res *journal.Result) (*journal.Artifact, error) {
	dir := r.site.WorkDir(r.att.Stack)
	files, err := leftFiles(dir)
	if err != nil {
		return nil, err
	}
	plan, err := readPlanFile(dir)
	if err != nil {
		return nil, err
	}
	env := environment(dir, nil)
	changes, shown, err := readChanges(ctx, plan, r.step.Stack, launch.Call{
		Binary: terraform.Binary{Path: r.att.Binary, Version: r.att.Version, Product: r.att.Product}, Dir: dir, Env: env,
	})
	if shown {
		res.Launches++
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(plan)
	res.Artifact, res.Changes = r.att.Step, changes
	return &journal.Artifact{
		ID: r.att.Step, Run: r.step.Run, Stack: r.att.Stack, Digest: hex.EncodeToString(sum[:]), StackDigest: r.step.Stack.Digest,
		StateSerial: r.att.Serial, Destroy: r.step.Destroy, Terraform: r.att.Version, Template: r.att.Template, WorkPath: dir,
		Changes: changes, Files: files, CreatedAt: time.Now().UTC(),
	}, nil
}

// readChanges reads what people see and approve from the plan file; a format that is not known is asked of terraform itself.
func readChanges(ctx context.Context, plan []byte, stack stacks.Stack, show launch.Call) (changes []stacks.Change, shown bool, err error) {
	p, shown, err := readPlan(ctx, plan, stack, true, show)
	return p.Changes, shown, err
}

// readPlan reads a plan file. A format that is not known is asked of terraform itself where that is worth another launch, else it says nothing.
func readPlan(ctx context.Context, plan []byte, stack stacks.Stack, ask bool, show launch.Call) (p terraform.Plan, shown bool, err error) {
	p, err = terraform.ReadPlan(plan, stack.DataBearing)
	if errors.Is(err, terraform.ErrPlanVersion) {
		if !ask {
			return terraform.Plan{}, false, nil
		}
		var text []byte
		shown = true
		if text, err = launch.ShowPlan(ctx, show); err == nil {
			p, err = terraform.ChangesFromShow(text, stack.DataBearing)
		}
	}
	if err != nil {
		return terraform.Plan{}, shown, err
	}
	for _, list := range [][]stacks.Change{p.Changes, p.Drift} {
		for i := range list {
			list[i].Region = stack.ID.Region
		}
	}
	return p, shown, nil
}

// readPlanFile reads the plan in a work directory.
func readPlanFile(dir string) ([]byte, error) {
	return os.ReadFile(filepath.Join(dir, terraform.PlanFile))
}
