package orchestrator

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
)

// workerForgotten is how long a worker counts that was not heard of: it asks for work at least once a minute.
const workerForgotten = 90 * time.Second

// temporalTimeout bounds what is asked of Temporal about keys.
const temporalTimeout = time.Minute

// keyFacts looks at everything that may hold a key, and counts each key's rows by table.
func (c *Client) keyFacts(ctx context.Context) (f keyFacts, tables map[string][]KeyTable, err error) {
	ring := c.catalog.Keys()
	f = keyFacts{now: time.Now(), grace: c.timing.KeyGrace, began: c.began, given: ring.Given(), rows: map[string]int64{}}
	if f.keys, err = ring.Keys(); err != nil {
		return f, nil, ringProblem(ring, err)
	}
	counts, err := c.catalog.Store().SealedCounts(ctx, keyring.PrefixLen)
	if err != nil {
		return f, nil, err
	}
	tables = map[string][]KeyTable{}
	for _, n := range counts {
		id := keyring.KeyOf(n.Prefix)
		f.rows[id] += n.Rows
		tables[id] = append(tables[id], KeyTable{n.Table, n.Rows})
	}
	if f.heads, err = c.journal.HeldHeads(ctx); err != nil {
		return f, nil, err
	}
	if f.sites, err = c.journal.Sites(ctx); err != nil {
		return f, nil, err
	}
	c.mu.Lock()
	w, r := c.waker, c.reconciler
	c.mu.Unlock()
	if w == nil {
		f.away = "the server has not joined it"
		return f, tables, nil
	}
	if f.site, err = r.acts.Site.ID(); err != nil {
		return f, nil, err
	}
	if f.spools, err = looseSpools(r.acts, f.heads); err != nil {
		return f, nil, err
	}
	if err := c.askTemporal(ctx, w, r, &f); err != nil {
		if ctx.Err() != nil {
			return f, nil, err
		}
		f.away = err.Error()
	}
	return f, tables, nil
}

// looseSpools are the spools of this site that no running head has.
func looseSpools(a *activities.Activities, heads []journal.HeldHead) (out []spoolFact, err error) {
	dirs, err := a.Site.Spools()
	if err != nil {
		return nil, fmt.Errorf("spools: %w", err)
	}
	for _, dir := range dirs {
		if slices.ContainsFunc(heads, func(h journal.HeldHead) bool { return a.Site.SpoolDir(h.Stack) == dir }) {
			continue
		}
		since, err := oldestFile(dir)
		if os.IsNotExist(err) {
			continue // it was cleaned meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		out = append(out, spoolFact{dir: dir, since: since})
	}
	return out, nil
}

// oldestFile is when the oldest of a directory's files was written; of an empty one, when it was made or emptied.
func oldestFile(dir string) (at time.Time, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && path != "." {
			return err
		}
		info, err := d.Info()
		if err == nil && (at.IsZero() || info.ModTime().Before(at)) {
			at = info.ModTime()
		}
		return err
	})
	return at, err
}

// askTemporal adds who works, and what of Temporal's own may be sealed.
func (c *Client) askTemporal(ctx context.Context, w *waker, r *Reconciler, f *keyFacts) (err error) {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	if f.workers, err = w.workersSeen(ctx, f.now); err != nil {
		return err
	}
	since, err := c.catalog.PayloadsSince(ctx)
	if err != nil || since.IsZero() && !c.payloads.Sealed {
		return err
	}
	if f.schedules, err = r.schedules.keys(ctx); err != nil {
		return err
	}
	f.flows, err = c.openFlows(ctx, w, *f)
	return err
}

// workersSeen lists who has asked for workflows and light steps of this installation lately. The one call knows of the queue's first partition, which
// is all there is in Temporal of our own; the other knows of every partition, and not every server has it.
func (w *waker) workersSeen(ctx context.Context, now time.Time) (out []workerIdentity, err error) {
	queue := workflows.Queue(w.installation)
	seen := map[string]bool{}
	add := func(identity string, at time.Time) {
		if now.Sub(at) <= workerForgotten && !seen[identity] {
			seen[identity] = true
			out = append(out, readIdentity(identity))
		}
	}
	for _, kind := range []enums.TaskQueueType{enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY} {
		d, err := w.temporal.DescribeTaskQueue(ctx, queue, kind)
		if err != nil {
			return nil, fmt.Errorf("who works: %w", err)
		}
		for _, p := range d.GetPollers() {
			add(p.GetIdentity(), p.GetLastAccessTime().AsTime())
		}
	}
	all, err := w.temporal.DescribeTaskQueueEnhanced(ctx, client.DescribeTaskQueueEnhancedOptions{
		TaskQueue: queue, Versions: &client.TaskQueueVersionSelection{Unversioned: true}, ReportPollers: true,
		TaskQueueTypes: []client.TaskQueueType{client.TaskQueueTypeWorkflow, client.TaskQueueTypeActivity},
	})
	if err != nil {
		return out, nil //nolint:nilerr // the first partition's are known, and nearly everybody asks there within the time that counts
	}
	for _, kind := range all.VersionsInfo[""].TypesInfo {
		for _, p := range kind.Pollers {
			add(p.Identity, p.LastAccessTime)
		}
	}
	return out, nil
}

// openFlows lists this installation's open workflows.
func (c *Client) openFlows(ctx context.Context, w *waker, f keyFacts) (out []flowFact, err error) {
	var page []byte
	for {
		list, err := w.temporal.ListOpenWorkflow(ctx, &workflowservice.ListOpenWorkflowExecutionsRequest{MaximumPageSize: 500, NextPageToken: page})
		if err != nil {
			return nil, fmt.Errorf("listing workflows: %w", err)
		}
		for _, e := range list.GetExecutions() {
			flow := flowFact{id: e.GetExecution().GetWorkflowId(), started: e.GetStartTime().AsTime()}
			if !workflows.Ours(c.installation, flow.id) {
				continue
			}
			// What a schedule gives was sealed when the schedule was made.
			if strings.HasPrefix(flow.id, workflows.SchedulePrefix(c.installation)) && len(f.since(flow.started)) < len(f.old()) {
				if flow.key, err = c.givenBy(ctx, w, e.GetExecution()); err != nil {
					return nil, err
				}
			}
			out = append(out, flow)
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			return out, nil
		}
	}
}

// givenBy is the key that sealed what a workflow was given; "" where that is plain or the workflow is gone.
func (c *Client) givenBy(ctx context.Context, w *waker, e *common.WorkflowExecution) (string, error) {
	history := w.temporal.GetWorkflowHistory(ctx, e.GetWorkflowId(), e.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	if !history.HasNext() {
		return "", nil
	}
	first, err := history.Next()
	if notFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("what %s was given: %w", e.GetWorkflowId(), err)
	}
	for _, p := range first.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads() {
		if c.payloads.Data == nil {
			break
		}
		if data, sealed := c.payloads.Data(p); sealed {
			return keyring.KeyOf(data), nil
		}
	}
	return "", nil
}
