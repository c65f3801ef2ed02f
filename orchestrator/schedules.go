package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"meridian/orchestrator/activities"
	"meridian/orchestrator/workflows"
	"meridian/persistence/catalog"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// schedules makes the schedules of Temporal agree with the databases' rows: each database that wants checks has one, with its own interval;
// others go. What Temporal has is remembered, and looked at again now and then, for its file may be lost or another.
type schedules struct {
	catalog      *catalog.Catalog
	temporal     client.Client
	installation string
	timing       stacks.Timing
	clock        terraform.Clock
	// key is the ID of the key that seals what Temporal is given, "" where nothing is sealed.
	key func() (string, error)

	mu     sync.Mutex
	made   map[string]made // by schedule ID
	listed time.Time
	wishes map[string]wish // by incarnation
}

// made is a schedule that Temporal has. Its note says what it is; at is when we made it, zero where we found it.
type made struct {
	note string
	at   time.Time
}

// noteOf is what a schedule of an interval says of itself. The number in front is that of the schedules' shape: raise it with a change of put,
// and all are made anew. key is the one that sealed its arguments, "" where they are plain.
func noteOf(every time.Duration, key string) string {
	return strings.TrimSuffix("1 "+every.String()+" "+key, " ")
}

// readNote reads what noteOf wrote; ok is false for what it did not write.
func readNote(note string) (every time.Duration, key string, ok bool) {
	fields := strings.Fields(note)
	if len(fields) < 2 || len(fields) > 3 {
		return 0, "", false
	}
	every, err := time.ParseDuration(fields[1])
	if len(fields) == 3 {
		key = fields[2]
	}
	return every, key, err == nil
}

// wish is what the newest revision of a database says of its checks: revisions never change.
type wish struct {
	revision int64
	drift    stacks.Drift
}

// listEvery is how many looks of the reconciler pass between two lists of what Temporal has: each is a query of its visibility store.
const listEvery = 6

func newSchedules(c *Client, t client.Client) *schedules {
	return &schedules{catalog: c.catalog, temporal: t, installation: c.installation, timing: c.timing, clock: c.clock, key: c.payloadKey, made: map[string]made{}, wishes: map[string]wish{}}
}

// reconcile makes what is missing, changes what is another and removes what nobody wants. One look does so for no longer than looks are apart, and
// the next goes on: an empty Temporal lacks as many schedules as there are databases, and open runs must not wait for all of them.
func (s *schedules) reconcile(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want, err := s.want(ctx)
	if err != nil {
		return err
	}
	if time.Since(s.listed) > listEvery*s.timing.ReconcileEvery {
		if err := s.list(ctx); err != nil {
			return err
		}
	}
	return s.agree(ctx, want)
}

// agree makes Temporal's schedules those that are wanted, for no longer than looks are apart.
func (s *schedules) agree(ctx context.Context, want map[string]time.Duration) error {
	key, err := s.key()
	if err != nil {
		return err
	}
	began := time.Now()
	var errs []error
	for id, every := range want {
		if time.Since(began) > s.timing.ReconcileEvery {
			return errors.Join(errs...)
		}
		if note := noteOf(every, key); s.made[id].note != note {
			errs = append(errs, s.put(ctx, id, every, note))
		}
	}
	for id := range s.made {
		if _, wanted := want[id]; !wanted {
			errs = append(errs, s.remove(ctx, id))
		}
	}
	return errors.Join(errs...)
}

// want is what the rows say: the interval of each database that was applied once.
func (s *schedules) want(ctx context.Context) (map[string]time.Duration, error) {
	dbs, err := s.catalog.Databases(ctx, "")
	if err != nil {
		return nil, err
	}
	out, wishes := map[string]time.Duration{}, map[string]wish{}
	for _, db := range dbs {
		if db.Applied == 0 {
			continue
		}
		w, known := s.wishes[db.Incarnation]
		if !known || w.revision != db.Revision {
			rev, err := s.catalog.Revision(ctx, db.Incarnation, db.Revision)
			if err != nil {
				return nil, fmt.Errorf("revision of %s/%s: %w", db.Namespace, db.Name, err)
			}
			w = wish{db.Revision, rev.Effective.Spec.Drift}
		}
		wishes[db.Incarnation] = w
		if every := w.drift.Schedule(s.timing.DriftEvery); every > 0 {
			out[workflows.ScheduleID(s.installation, db.Incarnation)] = every
		}
	}
	s.wishes = wishes
	return out, nil
}

// listLag is how far Temporal's list of schedules may be behind.
const listLag = 5 * time.Second

// list asks Temporal which schedules of this installation there are.
func (s *schedules) list(ctx context.Context) error {
	it, err := s.temporal.ScheduleClient().List(ctx, client.ScheduleListOptions{PageSize: 500})
	if err != nil {
		return fmt.Errorf("listing schedules: %w", err)
	}
	found := map[string]made{}
	for it.HasNext() {
		e, err := it.Next()
		if err != nil {
			return fmt.Errorf("listing schedules: %w", err)
		}
		if strings.HasPrefix(e.ID, workflows.SchedulePrefix(s.installation)) {
			m := made{note: e.Note}
			if len(e.NextActionTimes) > 0 && tooFar(s.clock.Wall(), e.NextActionTimes[0], e.Note) {
				m.note = "" // the clock was set back: made anew
			}
			found[e.ID] = m
		}
	}
	for id, m := range s.made {
		if _, there := found[id]; !there && time.Since(m.at) < listLag {
			found[id] = m
		}
	}
	s.made, s.listed = found, time.Now()
	return nil
}

// tooFar reports whether the next check of a schedule is further away than its interval and jitter can be. It is pure.
func tooFar(now, next time.Time, note string) bool {
	every, _, ok := readNote(note)
	return ok && next.Sub(now) > 2*every+maxJitter
}

// put makes a schedule, in the place of one that says something else of itself. The note names a key that was read before the arguments are sealed:
// they are sealed with it or with a newer one.
func (s *schedules) put(ctx context.Context, id string, every time.Duration, note string) error {
	if _, there := s.made[id]; there {
		if err := s.remove(ctx, id); err != nil {
			return err
		}
	}
	incarnation := strings.TrimPrefix(id, workflows.SchedulePrefix(s.installation))
	_, err := s.temporal.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id,
		Spec: client.ScheduleSpec{
			Intervals: []client.ScheduleIntervalSpec{{Every: every, Offset: offset(id, every)}},
			Jitter:    min(every/10, maxJitter),
		},
		Action: &client.ScheduleWorkflowAction{
			ID: id, Workflow: workflows.NameDriftCheck, TaskQueue: workflows.Queue(s.installation),
			WorkflowExecutionTimeout: workflows.GiveUpCheck, WorkflowTaskTimeout: s.timing.WorkflowTaskTimeout,
			StaticSummary: "check for drift",
			Args: []any{workflows.DriftInput{
				Contract: activities.ContractVersion, Installation: s.installation, Incarnation: incarnation, Reason: catalog.DriftScheduled,
			}},
			TypedSearchAttributes: temporal.NewSearchAttributes(workflows.AttrKind.ValueSet(workflows.NameDriftCheck)),
		},
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchUp(every), Note: note,
	})
	if err != nil && !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return fmt.Errorf("schedule %s: %w", id, err)
	}
	if err != nil { // the list was behind: it is there, with an interval that is not known
		s.made[id] = made{}
		s.listed = time.Time{}
		return nil //nolint:nilerr // the next look reads what it is
	}
	s.made[id] = made{note: note, at: time.Now()}
	return nil
}

// scheduleKey is a schedule and the key that sealed its arguments: "" where they are plain, unknown where it does not say so.
type scheduleKey struct {
	id, key string
	unknown bool
}

// keys makes schedules that another key sealed anew, as far as one look does, and lists what Temporal has then, in no order.
func (s *schedules) keys(ctx context.Context) ([]scheduleKey, error) {
	err := s.reconcile(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = s.list(ctx)
	}
	if err != nil {
		return nil, err
	}
	out := make([]scheduleKey, 0, len(s.made))
	for id, m := range s.made {
		_, key, ok := readNote(m.note)
		out = append(out, scheduleKey{id: id, key: key, unknown: !ok})
	}
	return out, nil
}

func (s *schedules) remove(ctx context.Context, id string) error {
	err := s.temporal.ScheduleClient().GetHandle(ctx, id).Delete(ctx)
	if err != nil && !notFound(err) {
		return fmt.Errorf("schedule %s: %w", id, err)
	}
	delete(s.made, id)
	return nil
}

const (
	// maxJitter spreads the checks of databases whose moments fall together; more would only make the moment of a check hard to foresee.
	maxJitter = 5 * time.Minute
	// maxCatchUp is how old a check that was missed while the server was away may be to be made after all: one is enough, since it looks at
	// the world of now.
	maxCatchUp = 10 * time.Minute
)

// catchUp is less than the interval, so that at most one check is made up for.
func catchUp(every time.Duration) time.Duration {
	return max(min(every*9/10, maxCatchUp), 10*time.Second)
}

// offset spreads the checks of many databases over the interval, each always at the same moment of it. It is pure.
func offset(id string, every time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	seconds := uint64(every / time.Second)
	return time.Duration(h.Sum64()%max(seconds, 1)) * time.Second
}
