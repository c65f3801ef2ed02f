package journal_test

import (
	"errors"
	"testing"
	"time"

	"meridian/persistence/journal"
	"meridian/persistence/store"
)

func TestOver(t *testing.T) {
	const lease = 10 * time.Minute
	fence := journal.Fence{Epoch: 1, Number: 4, Attempt: "a"}
	running := journal.Head{Fence: fence, Status: journal.HeadRunning, Site: "ankara", BootID: "b1", Beats: 7}
	idle := running
	idle.Status = journal.HeadIdle
	owner := journal.Site{ID: "ankara", BootID: "b1"}
	dead := owner
	dead.DeadAt, dead.DeadBy = time.Now(), "ada"
	saw := func(f journal.Fence, beats int64, d time.Duration) *journal.Sighting {
		return &journal.Sighting{Fence: f, Beats: beats, For: d}
	}
	for name, c := range map[string]struct {
		head  journal.Head
		owner journal.Site
		seen  *journal.Sighting
		lease time.Duration
		want  string
	}{
		"it lives":                         {running, owner, nil, lease, ""},
		"it is free":                       {idle, owner, nil, lease, "it was released"},
		"another boot":                     {running, journal.Site{ID: "ankara", BootID: "b2"}, nil, lease, "its machine has booted again"},
		"an unknown site":                  {running, journal.Site{}, nil, lease, ""},
		"declared dead":                    {running, dead, nil, lease, "its site was declared dead by ada"},
		"declared dead, on one machine":    {running, dead, nil, 0, "its site was declared dead by ada"},
		"seen for a lease":                 {running, owner, saw(fence, 7, lease), lease, ""},
		"seen for a lease and a tenth":     {running, owner, saw(fence, 7, 11*time.Minute), lease, "its lease is over"},
		"seen, but there was another beat": {running, owner, saw(fence, 6, time.Hour), lease, ""},
		"seen, but of another attempt":     {running, owner, saw(journal.Fence{Epoch: 1, Number: 3, Attempt: "b"}, 7, time.Hour), lease, ""},
		"time proves nothing on a machine": {running, owner, saw(fence, 7, time.Hour), 0, ""},
	} {
		if got := journal.Over(c.head, c.owner, c.seen, c.lease); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// runs is a stack whose apply runs on the site "here", of the boot "boot".
func (h *house) runs() (step string, f journal.Fence) {
	h.t.Helper()
	h.stack(ankara)
	h.must(h.SeeSite(h.t.Context(), "here", "boot", "host"))
	step = h.step(ankara, "r-1", "apply.1", journal.StepApply)
	return step, h.mustTake(ankara, step, "a1")
}

func (h *house) site(id string) journal.Site {
	h.t.Helper()
	sites, err := h.Sites(h.t.Context())
	h.must(err)
	for _, s := range sites {
		if s.ID == id {
			return s
		}
	}
	h.t.Fatalf("site %s is not in %+v", id, sites)
	return journal.Site{}
}

func TestAnotherSiteTakesOverOnlyOnProof(t *testing.T) {
	const lease = 10 * time.Minute
	for name, c := range map[string]struct {
		happens func(h *house, step string, f journal.Fence)
		seen    time.Duration // since before it happens
		over    bool
	}{
		"nothing is known":        {nil, 0, false},
		"watched for too short":   {nil, lease, false},
		"watched for long enough": {nil, lease + lease/10, true},
		"a beat came":             {func(h *house, _ string, f journal.Fence) { _, err := h.Beat(h.t.Context(), ankara, f); h.must(err) }, time.Hour, false},
		"somebody adopted it": {func(h *house, _ string, f journal.Fence) {
			_, err := h.Adopted(h.t.Context(), ankara, f, 7, "boot")
			h.must(err)
		}, time.Hour, false},
		"it was released": {func(h *house, step string, f journal.Fence) {
			h.must(h.Finish(h.t.Context(), ankara, f, journal.Result{Step: step, Outcome: journal.OutcomeApplied}, nil))
		}, 0, true},
		"the same boot again": {func(h *house, _ string, _ journal.Fence) { h.must(h.SeeSite(h.t.Context(), "here", "boot", "host")) }, 0, false},
		"the machine booted":  {func(h *house, _ string, _ journal.Fence) { h.must(h.SeeSite(h.t.Context(), "here", "boot2", "host")) }, 0, true},
		"another machine booted": {func(h *house, _ string, _ journal.Fence) {
			h.must(h.SeeSite(h.t.Context(), "elsewhere", "boot2", "host"))
		}, 0, false},
		"it was declared dead": {func(h *house, _ string, _ journal.Fence) { h.declareDead("here") }, 0, true},
		"its events do not save it": {func(h *house, step string, f journal.Fence) {
			h.must(h.Ship(h.t.Context(), ankara, f, step, journal.Batch{Events: events(1, 2)}))
		}, lease + lease/10, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			step, f := h.runs()
			other := h.step(ankara, "r-2", "plan.1", journal.StepPlan)
			before, err := h.Head(t.Context(), ankara)
			h.must(err)
			if c.happens != nil {
				c.happens(h, step, f)
			}
			in := journal.TakeInput{Stack: ankara, Step: other, Attempt: "b1", Site: "there", Lease: lease, OverProven: true}
			if c.seen > 0 {
				in.Seen = &journal.Sighting{Fence: f, Beats: before.Beats, For: c.seen}
			}
			_, why, err := h.Proof(t.Context(), ankara, in.Seen, lease)
			h.must(err)
			_, err = h.take(in)
			if taken := err == nil; taken != c.over || (why != "") != c.over || !taken && !errors.Is(err, journal.ErrRunning) {
				t.Fatalf("taken: %v, %v; proof %q", taken, err, why)
			}
			if c.over && before.Status == journal.HeadRunning {
				if err := h.Ship(t.Context(), ankara, f, step, journal.Batch{Events: events(9, 9)}); !errors.Is(err, journal.ErrFenced) {
					t.Fatalf("the old attempt still writes: %v", err)
				}
			}
		})
	}
}

func (h *house) declareDead(site string) {
	h.t.Helper()
	h.must(h.st.Write(h.t.Context(), func(tx *store.Tx) error {
		_, err := h.DeclareDead(h.t.Context(), tx, site, "ada")
		return err
	}))
}

func TestASiteThatWasDeclaredDead(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	step, f := h.runs()
	h.declareDead("here")
	h.declareDead("here") // once is enough
	if err := h.SeeSite(ctx, "here", "boot", "host"); !errors.Is(err, journal.ErrSiteDead) {
		t.Fatalf("it goes on with the same boot: %v", err)
	}
	if _, err := h.Beat(ctx, ankara, f); !errors.Is(err, journal.ErrSiteDead) {
		t.Fatalf("its lease is renewed: %v", err)
	}
	h.must(h.Ship(ctx, ankara, f, step, journal.Batch{Events: events(1, 1)})) // what it has is welcome until another has the fence
	if s := h.site("here"); !s.Dead() || s.DeadBy != "ada" || s.Host != "host" {
		t.Fatalf("site %+v", s)
	}
	h.must(h.SeeSite(ctx, "here", "boot2", "host2"))
	if s := h.site("here"); s.Dead() || s.DeadBy != "" || s.BootID != "boot2" || s.Host != "host2" {
		t.Fatalf("site %+v", s)
	}
	err := h.st.Write(ctx, func(tx *store.Tx) error {
		_, err := h.DeclareDead(ctx, tx, "nowhere", "ada")
		return err
	})
	if !errors.Is(err, journal.ErrNotFound) {
		t.Fatalf("an unknown site: %v", err)
	}
}

// Once the epoch is raised, an attempt from before writes nothing; only who holds its site's lock gets a fence for what it left.
func TestRaisedEpoch(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	step, old := h.runs()
	h.must(h.Ship(ctx, ankara, old, step, journal.Batch{Events: events(1, 2), State: snapshot(2, "")}))
	h.must(h.st.Write(ctx, func(tx *store.Tx) error {
		epoch, err := h.RaiseEpoch(tx, 0)
		if epoch != 2 {
			t.Errorf("epoch %d", epoch)
		}
		return err
	}))
	if err := h.Ship(ctx, ankara, old, step, journal.Batch{Events: events(3, 3)}); !errors.Is(err, journal.ErrFenced) {
		t.Fatalf("an attempt of the old epoch ships: %v", err)
	}
	if _, err := h.Beat(ctx, ankara, old); !errors.Is(err, journal.ErrFenced) {
		t.Fatalf("an attempt of the old epoch beats: %v", err)
	}
	if err := h.Finish(ctx, ankara, old, journal.Result{Step: step}, nil); !errors.Is(err, journal.ErrFenced) {
		t.Fatalf("an attempt of the old epoch finishes: %v", err)
	}
	for range 2 { // an adopter that dies before it wrote its fence down comes with the old one again
		f, err := h.Adopted(ctx, ankara, old, 43, "boot")
		h.must(err)
		if want := (journal.Fence{Epoch: 2, Number: 2, Attempt: "a1"}); f != want {
			t.Fatalf("fence %+v, want %+v", f, want)
		}
		h.must(h.Ship(ctx, ankara, f, step, journal.Batch{Events: events(1, 3), State: snapshot(3, "")}))
	}
	got, err := h.Events(ctx, step, 0, 10)
	h.must(err)
	if s := seqs(got); len(s) != 3 || s[2] != 3 {
		t.Fatalf("events %v", s)
	}
	if s := h.latest(ankara); s.Serial != 3 || s.Fence.Epoch != 2 {
		t.Fatalf("state %d of %+v", s.Serial, s.Fence)
	}
}
