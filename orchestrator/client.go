package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"

	"meridian/orchestrator/activities"
	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/store"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// Client is what every surface talks to: each command is one transaction on rows, then an idempotent wake; a command works while
// Temporal is down. Errors are *Problem where a person can act on them.
type Client struct {
	catalog      *catalog.Catalog
	journal      *journal.Journal
	registry     *providers.Registry
	installation string
	timing       stacks.Timing
	clock        terraform.Clock
	logger       *slog.Logger
	workflowPath func(workflowID string) string
	progress     progressCache
	resolver     Resolver
	payloads     Payloads
	began        time.Time
	rotating     sync.Mutex // one change of the ring at a time

	mu         sync.Mutex
	waker      *waker // nil while Temporal is away
	workers    *Workers
	reconciler *Reconciler
	stop       context.CancelFunc
	stopped    sync.WaitGroup
}

// Options are what a client works with.
type Options struct {
	Catalog  *catalog.Catalog
	Journal  *journal.Journal
	Registry *providers.Registry
	Timing   stacks.Timing
	// Clock is by what time is judged.
	Clock  terraform.Clock
	Logger *slog.Logger
	// WorkflowPath makes the Web UI's path of a workflow, or is nil without a UI.
	WorkflowPath func(workflowID string) string
	// Resolver fetches foreign modules; without one there are none.
	Resolver Resolver
	// Payloads says whether Temporal is given sealed payloads.
	Payloads Payloads
}

// Payloads says what the ring has to do with what Temporal is given.
type Payloads struct {
	// Sealed says that payloads are sealed.
	Sealed bool
	// Data is what was sealed of a payload, which begins with the name of its key, and whether it is sealed; nil where none ever was.
	Data func(*common.Payload) (data []byte, sealed bool)
}

// NewClient returns a client that writes rows; Start makes them move.
func NewClient(ctx context.Context, o Options) (*Client, error) {
	installation, err := o.Catalog.Installation(ctx)
	if err != nil {
		return nil, fmt.Errorf("installation: %w", err)
	}
	return &Client{
		catalog: o.Catalog, journal: o.Journal, registry: o.Registry, timing: o.Timing, clock: o.Clock, logger: o.Logger,
		installation: installation, workflowPath: o.WorkflowPath, resolver: o.Resolver, payloads: o.Payloads, began: time.Now(),
	}, nil
}

// Start runs workers and the reconciler on a Temporal client until Stop.
func (c *Client) Start(t client.Client, a *activities.Activities, interceptors ...interceptor.WorkerInterceptor) error {
	workers, err := StartWorkers(t, c.installation, a, interceptors...)
	if err != nil {
		return err
	}
	c.reconcile(t, a, workers)
	return nil
}

// StartWithoutWorkers runs the reconciler alone: the work is done by workers in other processes.
func (c *Client) StartWithoutWorkers(t client.Client, a *activities.Activities) {
	c.reconcile(t, a, nil)
}

// reconcile runs the reconciler until Stop.
func (c *Client) reconcile(t client.Client, a *activities.Activities, workers *Workers) {
	w := &waker{temporal: t, installation: c.installation, timing: c.timing}
	r := &Reconciler{
		catalog: c.catalog, waker: w, workers: workers, acts: a, every: c.timing.ReconcileEvery, clock: c.clock, logger: c.logger,
		schedules: newSchedules(c, t), anew: map[string]time.Duration{},
	}
	ctx, stop := context.WithCancel(context.Background())
	c.mu.Lock()
	c.waker, c.workers, c.reconciler, c.stop = w, workers, r, stop
	c.mu.Unlock()
	c.stopped.Add(1)
	go func() {
		defer c.stopped.Done()
		r.Run(ctx)
	}()
}

// Stop detaches: workers stop, runners go on.
func (c *Client) Stop() {
	c.mu.Lock()
	workers, stop := c.workers, c.stop
	c.waker, c.workers, c.stop = nil, nil, nil
	c.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	workers.Stop()
	c.stopped.Wait()
}

// wakeTimeout bounds a wake: the command is done already, and the reconciler makes up for it.
const wakeTimeout = 5 * time.Second

// wake wakes what works on a run. That Temporal is away is no error: the row is there, and the reconciler looks.
func (c *Client) wake(ctx context.Context, run catalog.Run) {
	c.mu.Lock()
	w, r := c.waker, c.reconciler
	c.mu.Unlock()
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	err := r.locations(ctx, run)
	if err == nil {
		err = w.wake(ctx, run)
	}
	if err != nil {
		c.logger.Warn("not woken; the reconciler will", "run", run.ID, "error", err)
	}
}

// Destroy submits a destroy run, unless the database is protected.
func (c *Client) Destroy(ctx context.Context, namespace, name, actor string) (RunView, error) {
	db, err := c.catalog.Database(ctx, namespace, name)
	if err != nil {
		return RunView{}, c.problem(err, "database "+namespace+"/"+name)
	}
	rev, err := c.catalog.Revision(ctx, db.Incarnation, 0)
	if err != nil {
		return RunView{}, c.problem(err, "revision of "+namespace+"/"+name)
	}
	if rev.Effective.Spec.Deletion.Protected() {
		return RunView{}, &Problem{
			Code: CodeRefused, Title: fmt.Sprintf("%s/%s is protected", namespace, name),
			Detail: "its spec says deletion.protect: true (the default)",
			Next:   "apply the spec with deletion: {protect: false} first, then destroy",
		}
	}
	run, err := c.catalog.SubmitDestroy(ctx, namespace, name, actor)
	if err != nil {
		return RunView{}, c.problem(err, "database "+namespace+"/"+name)
	}
	c.wake(ctx, run)
	return c.view(ctx, run)
}

// Approve says yes to exactly this plan digest. A unique beginning of it, at least 12 characters, will do.
func (c *Client) Approve(ctx context.Context, run, digest, actor string) (RunView, error) {
	r, err := c.catalog.Run(ctx, run)
	if err != nil {
		return RunView{}, c.problem(err, "run "+run)
	}
	digest = strings.TrimPrefix(digest, "sha256:")
	if len(digest) >= minDigest && strings.HasPrefix(r.PlanDigest, digest) {
		digest = r.PlanDigest
	}
	r, err = c.catalog.Approve(ctx, run, digest, actor)
	if err != nil {
		return RunView{}, c.problem(err, "run "+run)
	}
	c.wake(ctx, r)
	return c.view(ctx, r)
}

// minDigest is the shortest beginning of a digest that names it: 48 bits.
const minDigest = 12

// Cancel asks a run to stop: terraform gets SIGINT, its state is kept.
func (c *Client) Cancel(ctx context.Context, run, actor string) (RunView, error) {
	r, err := c.catalog.Run(ctx, run)
	if err != nil {
		return RunView{}, c.problem(err, "run "+run)
	}
	r, err = c.catalog.Cancel(ctx, run, actor, func(tx *store.Tx) error {
		for _, region := range r.Regions {
			id := stacks.StackID{Namespace: r.Namespace, Name: r.Name, Incarnation: r.Incarnation, Region: region.Region}
			if err := c.journal.RequestCancel(ctx, tx, id, run); err != nil && !errors.Is(err, journal.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return RunView{}, c.problem(err, "run "+run)
	}
	c.wake(ctx, r)
	return c.view(ctx, r)
}

// problem turns the catalog's errors into what a person can act on.
func (c *Client) problem(err error, what string) error {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case isNotFound(err):
		return &Problem{Code: CodeNotFound, Title: what + " is not here", Next: "see meridian get databases, or meridian run list"}
	case errors.Is(err, catalog.ErrReadOnly):
		return &Problem{Code: CodeRefused, Title: "nothing is applied for now", Detail: err.Error(), Next: "see what differs from the world, and end this: meridian fsck"}
	case errors.Is(err, catalog.ErrStaleDigest):
		return &Problem{Code: CodeStalePlan, Title: "this is not the plan of " + what, Detail: "the plan was made anew, or the digest is of another run", Next: "look at it with meridian run watch and approve the digest that it shows"}
	case errors.Is(err, catalog.ErrDestroying):
		return &Problem{Code: CodeConflict, Title: what + " is being destroyed", Detail: err.Error(), Next: "wait for its destroy run to end (meridian run list), then apply again for a new database of that name"}
	case errors.Is(err, catalog.ErrDependents):
		return &Problem{Code: CodeRefused, Title: what + " is needed by others", Detail: err.Error(), Next: "destroy those first, or take it out of their spec.dependsOn and apply them"}
	case errors.Is(err, catalog.ErrDependency):
		return &Problem{Code: CodeRefused, Title: what + " depends on what cannot be met", Detail: err.Error(), Next: "see spec.dependsOn"}
	case errors.Is(err, catalog.ErrMoved):
		return &Problem{Code: CodeConflict, Title: what + " has moved on meanwhile", Detail: err.Error(), Next: "look at it again, then decide"}
	}
	return fmt.Errorf("%s: %w", what, err)
}

func isNotFound(err error) bool {
	return errors.Is(err, catalog.ErrNotFound) || errors.Is(err, journal.ErrNotFound)
}

// Databases lists databases of a namespace ("" for all).
func (c *Client) Databases(ctx context.Context, namespace string) ([]DatabaseView, error) {
	return c.FindDatabases(ctx, DatabaseQuery{Namespace: namespace})
}

// FindDatabases lists databases by namespace and name.
func (c *Client) FindDatabases(ctx context.Context, q DatabaseQuery) ([]DatabaseView, error) {
	f := catalog.DatabaseFilter{Namespace: q.Namespace, Search: q.Search, Limit: q.Limit}
	f.AfterNamespace, f.AfterName, _ = strings.Cut(q.After, "/")
	dbs, err := c.catalog.FindDatabases(ctx, f)
	if err != nil {
		return nil, err
	}
	out, err := c.databaseViews(ctx, dbs)
	for i := range out {
		out[i].Spec = nil
	}
	return out, err
}

// Database describes one database, with its spec and audit.
func (c *Client) Database(ctx context.Context, namespace, name string) (DatabaseView, error) {
	db, err := c.catalog.Database(ctx, namespace, name)
	if err != nil {
		return DatabaseView{}, c.problem(err, "database "+namespace+"/"+name)
	}
	v, err := c.databaseView(ctx, db)
	if err != nil {
		return v, err
	}
	audits, err := c.catalog.Audits(ctx, namespace, name, 20)
	if err != nil {
		return v, err
	}
	for _, a := range audits {
		v.Audit = append(v.Audit, AuditView{At: a.At, Actor: a.Actor, Verb: a.Verb, Subject: a.Subject, Detail: a.Detail})
	}
	return v, nil
}

// Connect says how to connect; revealing a password is audited.
func (c *Client) Connect(ctx context.Context, in ConnectRequest) (ConnectView, error) {
	db, err := c.catalog.Database(ctx, in.Namespace, in.Name)
	if err != nil {
		return ConnectView{}, c.problem(err, "database "+in.Namespace+"/"+in.Name)
	}
	rev, err := c.catalog.Revision(ctx, db.Incarnation, 0)
	if err != nil {
		return ConnectView{}, c.problem(err, "revision of "+in.Name)
	}
	spec := rev.Effective
	if in.Region == "" {
		in.Region = spec.Primary()
	}
	if _, ok := spec.Region(in.Region); !ok {
		return ConnectView{}, &Problem{Code: CodeNotFound, Title: fmt.Sprintf("%s/%s has no region %q", in.Namespace, in.Name, in.Region), Next: "its regions are " + strings.Join(regionNames(spec), ", ")}
	}
	id := stacks.StackID{Namespace: db.Namespace, Name: db.Name, Incarnation: db.Incarnation, Region: in.Region}
	endpoint, err := c.catalog.Endpoint(ctx, id)
	if isNotFound(err) {
		if !c.registry.HasDatabase(spec.Spec.Engine.Name) {
			return ConnectView{}, &Problem{Code: CodeConflict, Title: fmt.Sprintf("%s is no database: nobody connects to it", in.Region), Next: "see what it is made of: meridian describe " + in.Name}
		}
		return ConnectView{}, &Problem{Code: CodeConflict, Title: fmt.Sprintf("%s answers nowhere yet", in.Region), Next: "see what became of its runs: meridian run list"}
	}
	if err != nil {
		return ConnectView{}, err
	}
	engine, err := c.registry.Engine(spec.Spec.Engine.Name)
	if err != nil {
		return ConnectView{}, err
	}
	if in.Database == "" {
		in.Database = endpoint.Database
		if own, err := providers.As[providers.MaintenanceDatabase](engine); in.Database == "" && err == nil {
			in.Database = own.MaintenanceDatabase()
		}
		if i := slices.IndexFunc(spec.Spec.Databases, func(d stacks.LogicalDatabase) bool { return !d.Drop }); i >= 0 {
			in.Database = spec.Spec.Databases[i].Name
		}
	}
	secret := endpoint.Secret
	user := endpoint.User
	if i := slices.IndexFunc(spec.Spec.Users, func(u stacks.User) bool { return !u.Drop && (in.User == "" || u.Name == in.User) }); i >= 0 {
		user, secret = spec.Spec.Users[i].Name, "user/"+spec.Spec.Users[i].Name
	} else if in.User != "" && in.User != endpoint.User {
		return ConnectView{}, &Problem{Code: CodeNotFound, Title: fmt.Sprintf("the spec lists no user %q", in.User), Next: "list it under spec.users and apply"}
	}
	v := ConnectView{Region: in.Region, Host: endpoint.Host, Port: endpoint.Port, User: user, Database: in.Database}
	if in.Reveal {
		if v.Password, err = c.catalog.Secret(ctx, db.Incarnation, secret); err != nil {
			return v, c.problem(err, "password of "+user)
		}
		err := c.catalog.RecordAudit(ctx, catalog.Audit{Actor: in.Actor, Verb: "reveal", Subject: "password of " + user, Namespace: db.Namespace, Name: db.Name})
		if err != nil {
			return ConnectView{}, fmt.Errorf("a password that is not audited is not shown: %w", err)
		}
	}
	if s, err := providers.As[providers.ConnectionStrings](engine); err == nil {
		v.URL = s.ConnectionString(endpoint, in.Database, user, v.Password)
	}
	return v, nil
}

func regionNames(db stacks.Database) []string {
	var out []string
	for _, r := range db.Spec.Regions {
		out = append(out, r.Name)
	}
	return out
}
