package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"

	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// census is one look at everything, for fsck.
type census struct {
	client *Client
	view   *FsckView
}

func (l *census) find(f FsckFinding) { l.view.Findings = append(l.view.Findings, f) }

// take looks at the rows, then at Temporal, the runners and the world. Its error is that of a store that cannot be read; anything else
// that is away is a finding.
func (l *census) take(ctx context.Context) error {
	for _, part := range []func(context.Context) error{l.store, l.sealed, l.loose, l.active, l.temporal, l.heads, l.spools, l.world, l.links} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *census) store(ctx context.Context) error {
	lines, err := l.client.catalog.Store().Check(ctx)
	for _, line := range lines {
		l.find(FsckFinding{
			Check: CheckStoreSound, Subject: store.FileName, What: line,
			Next: "stop the server, keep a copy of the file, and put a backup back: meridian restore",
		})
	}
	return err
}

// sealed opens everything that the keyring sealed.
func (l *census) sealed(ctx context.Context) error {
	ofCatalog, err := l.client.catalog.Verify(ctx)
	if err != nil {
		return err
	}
	ofJournal, err := l.client.journal.Verify(ctx)
	if err != nil {
		return err
	}
	for _, d := range append(ofCatalog, ofJournal...) {
		next := "put a backup back, or bring the lost key back"
		if d.Table == "states" {
			next = "make another version the newest: meridian state restore"
		}
		l.find(FsckFinding{Check: CheckSealed, Subject: fmt.Sprint(d.Table, " ", d.Key), What: d.Err.Error(), Next: next})
	}
	return nil
}

// loose looks for rows that belong to nothing.
func (l *census) loose(ctx context.Context) error {
	lines, err := l.client.journal.LooseRows(ctx)
	if err != nil {
		return err
	}
	for _, line := range lines {
		l.find(FsckFinding{Check: CheckJournalRows, Subject: "journal", What: line, Next: "tell those who make Meridian; nothing is lost by it"})
	}
	rows, err := l.client.catalog.LooseRows(ctx)
	if err != nil {
		return err
	}
	for _, r := range rows {
		l.find(FsckFinding{
			Check: CheckCatalogRows, Subject: fmt.Sprintf("%s %s of %s", r.Table, r.Key, r.Incarnation),
			What: "belongs to no living database and to no open run", Next: "it does no harm; a secret of it may still open something that was left",
		})
	}
	return nil
}

// active looks at the runs that databases name as the one that works on them.
func (l *census) active(ctx context.Context) error {
	c := l.client
	dbs, err := c.catalog.Working(ctx)
	if err != nil {
		return err
	}
	for _, d := range dbs {
		run, err := c.catalog.Run(ctx, d.ActiveRun)
		what := ""
		switch {
		case isNotFound(err):
			what = "is not in the catalog"
		case err != nil:
			return err
		case run.Phase.Ended():
			what = "has ended: it is " + string(run.Phase)
		case run.Incarnation != d.Incarnation:
			what = "belongs to another database"
		}
		if what == "" {
			continue
		}
		l.find(FsckFinding{
			Check: CheckRunActive, Subject: d.Namespace + "/" + d.Name, What: "its active run " + d.ActiveRun + " " + what, Next: "meridian fsck --repair chooses anew",
			repair: func(ctx context.Context) (string, error) {
				next, err := c.catalog.NextRun(ctx, d.Namespace, d.Name)
				return fmt.Sprintf("chose anew: %q", next), err
			},
		})
	}
	return nil
}

// settling is how long rows and workflows, heads and runners, may disagree: the reconciler looks that often.
func (l *census) settling() time.Duration { return 3 * l.client.timing.ReconcileEvery }

// temporal holds open runs against workflows, both ways.
func (l *census) temporal(ctx context.Context) error {
	c := l.client
	c.mu.Lock()
	r := c.reconciler
	away := c.waker == nil
	c.mu.Unlock()
	if away {
		l.find(FsckFinding{Check: CheckTemporal, Subject: "temporal", What: "it is away: runs and workflows were not compared", Next: "see the server's log"})
		return nil
	}
	open, err := c.catalog.AllRunsOpen(ctx)
	if err != nil {
		return err
	}
	reconcile := func(ctx context.Context) (string, error) { return "reconciled", r.Once(ctx) }
	rows := map[string]bool{}
	for _, run := range open {
		rows[workflows.RunID(c.installation, run.ID)] = true
		if run.Phase == stacks.PhaseAwaiting || !c.clock.Past(run.MovedAt, l.settling()) {
			continue
		}
		id := workflows.DatabaseID(c.installation, run.Namespace, run.Name)
		if run.Kind == stacks.RunCheck {
			id = workflows.RunID(c.installation, run.ID)
		}
		d, err := r.waker.temporal.DescribeWorkflowExecution(ctx, id, "")
		if err != nil && !notFound(err) {
			l.find(FsckFinding{Check: CheckTemporal, Subject: "temporal", What: "it does not answer: runs and workflows were not compared", Next: "see the server's log"})
			return nil
		}
		if err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			continue
		}
		l.find(FsckFinding{
			Check: CheckRunWorkflow, Subject: "run " + run.ID, What: fmt.Sprintf("it is %s since %s, and no workflow works on it", run.Phase, run.MovedAt.Format(time.RFC3339)),
			Next: "the reconciler starts one; meridian fsck --repair does it now", repair: reconcile,
		})
	}
	strays, err := r.strayIDs(ctx, rows)
	if err != nil {
		l.find(FsckFinding{Check: CheckTemporal, Subject: "temporal", What: "its workflows cannot be listed", Next: "see the server's log"})
		return nil //nolint:nilerr // it is found and said
	}
	for id, run := range strays {
		row, err := c.catalog.Run(ctx, run)
		if err != nil && !isNotFound(err) {
			return err
		}
		if err == nil && (!row.Phase.Ended() || !c.clock.Past(row.MovedAt, l.settling())) {
			continue // it is just beginning, or just ending
		}
		l.find(FsckFinding{
			Check: CheckWorkflowRow, Subject: "workflow " + id, What: "no open run has it", Next: "the reconciler ends it; meridian fsck --repair does it now", repair: reconcile,
		})
	}
	return nil
}

// heads holds heads against their runners, databases and states.
func (l *census) heads(ctx context.Context) error {
	c := l.client
	heads, err := c.journal.Heads(ctx, "")
	if err != nil {
		return err
	}
	for _, h := range heads {
		subject := "stack " + h.Stack.String()
		if h.Status == journal.HeadRunning && c.clock.Past(h.BeatAt, max(l.settling(), 3*c.timing.BeatEvery)) {
			l.find(FsckFinding{
				Check: CheckHeadRunner, Subject: subject, What: fmt.Sprintf("step %s runs, and its runner %d was last heard of at %s", h.Step, h.RunnerPID, h.BeatAt.Format(time.RFC3339)),
				Next: "meridian fsck --repair starts a runner that takes it up", repair: l.adopt,
			})
		}
		d, err := c.catalog.Incarnation(ctx, h.Stack.Incarnation)
		switch {
		case err == nil && d.DestroyedAt == nil:
		case err == nil:
			l.find(FsckFinding{Check: CheckHeadDatabase, Subject: subject, What: "its database is destroyed, and its state is kept", Next: "see what is left: meridian orphans list"})
		case errors.Is(err, catalog.ErrNotFound):
			l.find(FsckFinding{Check: CheckHeadDatabase, Subject: subject, What: "its database is not in the catalog", Next: "see what is left: meridian orphans list"})
		default:
			return err
		}
	}
	return nil
}

func (l *census) adopt(ctx context.Context) (string, error) {
	acts, ok := l.acts()
	if !ok {
		return "", errors.New("no workers run")
	}
	return "a runner was started", acts.Adopt(ctx)
}

// spooled looks whether the state that a runner keeps in a spool can be opened: without its key, nothing goes on from there.
func (l *census) spooled(dir string) {
	data, err := os.ReadFile(filepath.Join(dir, terraform.SpooledState))
	if err != nil {
		return // there is none, or not any more
	}
	if err := l.client.journal.CheckSpooled(data); err != nil {
		l.find(FsckFinding{
			Check: CheckSealed, Subject: filepath.Join(dir, terraform.SpooledState), What: err.Error(), Next: "bring the lost key back: steps on its stack wait for it; keep the spool",
		})
	}
}

// spools looks for what runners wrote down and never shipped.
func (l *census) spools(ctx context.Context) error {
	acts, ok := l.acts()
	if !ok {
		return nil
	}
	heads, err := l.client.journal.Heads(ctx, "")
	if err != nil {
		return err
	}
	spools, err := acts.Site.Spools()
	if err != nil {
		return fmt.Errorf("spools: %w", err)
	}
	for _, dir := range spools {
		l.spooled(dir)
		i := slices.IndexFunc(heads, func(h journal.Head) bool { return acts.Site.SpoolDir(h.Stack) == dir })
		switch {
		case i < 0:
			l.find(FsckFinding{Check: CheckSpoolHead, Subject: dir, What: "no head has this spool: what is in it was never shipped to this store", Next: "keep it elsewhere; meridian-runner " + terraform.VerbSpooled + " --with-secrets shows the state in its " + terraform.SpooledState})
		case heads[i].Status == journal.HeadIdle:
			l.find(FsckFinding{
				Check: CheckSpoolHead, Subject: dir, What: "its attempt is over and it was not cleaned", Next: "meridian fsck --repair has a runner clean what is shipped",
				repair: func(context.Context) (string, error) { return "a runner sweeps", acts.Sweep() },
			})
		}
	}
	return nil
}
