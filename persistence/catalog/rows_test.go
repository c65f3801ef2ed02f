package catalog_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/store"
	"meridian/stacks"
)

func stackOf(incarnation, region string) stacks.StackID {
	return stacks.StackID{Namespace: "default", Name: "orders", Incarnation: incarnation, Region: region}
}

func TestPlacementsAreUnique(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	const n = 12
	var made atomic.Int64
	places := make([]stacks.Placement, n)
	var contenders []func(c *catalog.Catalog) error
	for i := range n {
		contenders = append(contenders, func(c *catalog.Catalog) (err error) {
			// Each region is placed twice at once; all of them want the first free port.
			places[i], err = c.EnsurePlacement(ctx, stackOf("abcdefgh", fmt.Sprint("r", i/2)), func(taken []string) (stacks.Placement, error) {
				made.Add(1)
				p := stacks.Placement{Address: "127.8.8.8", Port: 5432, Values: map[string]string{"dataDir": "/d"}}
				for slices.Contains(taken, fmt.Sprintf("127.8.8.8:%d", p.Port)) {
					p.Port++
				}
				return p, nil
			})
			return err
		})
	}
	for _, err := range h.race(contenders...) {
		h.must(err)
	}
	ports := map[int]int{}
	for i := range n {
		ports[places[i].Port]++
		if places[i].Port != places[i/2*2].Port || places[i].Values["dataDir"] != "/d" {
			t.Errorf("region %d has two placements: %+v", i/2, places[i/2*2:i/2*2+2])
		}
	}
	if len(ports) != n/2 {
		t.Fatalf("ports %v", ports)
	}
	before := made.Load()
	p, err := h.EnsurePlacement(ctx, stackOf("abcdefgh", "r0"), func([]string) (stacks.Placement, error) { return stacks.Placement{}, errors.New("not again") })
	h.must(err)
	if p.Port != places[0].Port || made.Load() != before {
		t.Errorf("placement %+v", p)
	}
	placed, err := h.Placed(ctx, "abcdefgh")
	h.must(err)
	if len(placed) != n/2 || placed[0].Region != "r0" {
		t.Errorf("placed %v", placed)
	}
}

func TestPlacementFails(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	boom := errors.New("boom")
	_, err := h.EnsurePlacement(ctx, stackOf("abcdefgh", "a"), func([]string) (stacks.Placement, error) { return stacks.Placement{}, boom })
	h.is(err, boom)
	_, err = h.Placement(ctx, stackOf("abcdefgh", "a"))
	h.is(err, catalog.ErrNotFound)
	stubborn := func([]string) (stacks.Placement, error) {
		return stacks.Placement{Address: "127.1.1.1", Port: 1}, nil
	}
	_, err = h.EnsurePlacement(ctx, stackOf("abcdefgh", "a"), stubborn)
	h.must(err)
	if _, err := h.EnsurePlacement(ctx, stackOf("abcdefgh", "b"), stubborn); err == nil {
		t.Error("one address was given twice")
	}
	for _, region := range []string{"c", "d"} { // a cloud gives no address
		_, err := h.EnsurePlacement(ctx, stackOf("abcdefgh", region), func([]string) (stacks.Placement, error) { return stacks.Placement{}, nil })
		h.must(err)
	}
}

func TestSecretsAreMadeOnce(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	_, err := h.Secret(ctx, "abcdefgh", "user/app")
	h.is(err, catalog.ErrNotFound)
	seen := make([]string, 8)
	var contenders []func(c *catalog.Catalog) error
	for i := range seen {
		contenders = append(contenders, func(c *catalog.Catalog) (err error) {
			if err := c.EnsureSecret(ctx, "abcdefgh", "user/app"); err != nil {
				return err
			}
			seen[i], err = c.Secret(ctx, "abcdefgh", "user/app")
			return err
		})
	}
	for _, err := range h.race(contenders...) {
		h.must(err)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{40}$`).MatchString(seen[0]) {
		t.Errorf("a secret has %d characters", len(seen[0]))
	}
	if raw, err := base64.RawURLEncoding.DecodeString(seen[0]); err != nil || len(raw) != 30 {
		t.Errorf("a secret has %d bytes, %v", len(raw), err)
	}
	for _, s := range seen {
		if s != seen[0] {
			t.Fatal("two secrets of one name were seen")
		}
	}
	h.must(h.EnsureSecret(ctx, "abcdefgh", "user/other"))
	if other, err := h.Secret(ctx, "abcdefgh", "user/other"); err != nil || other == seen[0] {
		t.Errorf("two names have one secret, %v", err)
	}
}

func TestASecretCannotBeMoved(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.must(h.EnsureSecret(ctx, "abcdefgh", "user/app"))
	h.exec("INSERT INTO secrets SELECT incarnation, 'user/eve', created_at, sealed FROM secrets")
	if got, err := h.Secret(ctx, "abcdefgh", "user/eve"); err == nil {
		t.Fatalf("a row with another's secret opened, %d characters", len(got))
	}
}

func TestEndpoint(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	id := stackOf("abcdefgh", "ankara")
	_, err := h.Endpoint(ctx, id)
	h.is(err, catalog.ErrNotFound)
	for _, port := range []int{5432, 5433} {
		want := stacks.Endpoint{Host: "127.1.2.3", Port: port, User: "admin", Secret: "region/ankara/admin", Database: "postgres", TLSMode: "disable"}
		h.must(h.PutEndpoint(ctx, id, want))
		if got, err := h.Endpoint(ctx, id); err != nil || got != want {
			t.Fatalf("endpoint %+v, %v", got, err)
		}
	}
}

func TestLinks(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	inc := h.submit(spec("orders", "15"), 0).Incarnation
	at := time.Now().UTC().Truncate(time.Microsecond)
	link := catalog.Link{
		Incarnation: inc, Name: "ankara-istanbul", Spec: stacks.Link{From: "ankara", To: "istanbul", Mode: stacks.LinkLogical, Databases: []string{"orders"}},
		Phase: "copying", RunNumber: 2, Message: "copying orders",
	}
	h.must(h.PutLink(ctx, link))
	link.Phase, link.Lag, link.VerifiedAt, link.Message = "verified", 42*time.Millisecond, &at, ""
	h.must(h.PutLink(ctx, link))
	old := link
	old.RunNumber, old.Phase = 1, "failed"
	h.is(h.PutLink(ctx, old), catalog.ErrMoved)
	got, err := h.Links(ctx, inc)
	h.must(err)
	if len(got) != 1 || got[0].Phase != "verified" || got[0].Lag != link.Lag || !got[0].VerifiedAt.Equal(at) || got[0].Spec.Databases[0] != "orders" || got[0].RunNumber != 2 {
		t.Fatalf("links %+v", got)
	}
	h.must(h.EnsureSecret(ctx, inc, "link/ankara-istanbul"))
	h.must(h.DeleteLink(ctx, inc, "ankara-istanbul"))
	h.must(h.DeleteLink(ctx, inc, "ankara-istanbul"))
	if got, err := h.Links(ctx, inc); err != nil || len(got) != 0 {
		t.Fatalf("links %+v, %v", got, err)
	}
	_, err = h.Secret(ctx, inc, "link/ankara-istanbul")
	h.is(err, catalog.ErrNotFound)
	h.is(h.PutLink(ctx, catalog.Link{Incarnation: "nothing", Name: "a-b"}), catalog.ErrNotFound)
}

// TestALinkThatIsGoneStaysGone has attempts that are slower than the link's removal.
func TestALinkThatIsGoneStaysGone(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	made := h.finishNew("orders", "15")
	link := catalog.Link{Incarnation: made.Incarnation, Name: "ankara-istanbul", Phase: "copying", RunNumber: made.Number}
	h.is(h.PutLink(ctx, link), catalog.ErrMoved) // its run has ended
	h.is(h.UpdateLink(ctx, link), catalog.ErrNotFound)
	removes := h.submit(spec("orders", "16"), 1)
	link.RunNumber = removes.Number
	h.must(h.PutLink(ctx, link))
	link.Phase, link.RunNumber = "verified", made.Number
	h.is(h.PutLink(ctx, link), catalog.ErrMoved)
	h.is(h.UpdateLink(ctx, link), catalog.ErrMoved)
	link.Phase, link.RunNumber = "removing", removes.Number
	h.must(h.UpdateLink(ctx, link))
	if got, err := h.Links(ctx, made.Incarnation); err != nil || len(got) != 1 || got[0].Phase != "removing" {
		t.Fatalf("links %+v, %v", got, err)
	}
	h.must(h.DeleteLink(ctx, made.Incarnation, link.Name))
	h.is(h.UpdateLink(ctx, link), catalog.ErrNotFound)
	if got, err := h.Links(ctx, made.Incarnation); err != nil || len(got) != 0 {
		t.Fatalf("links %+v, %v", got, err)
	}
}

func TestRemoveRegion(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	inc := h.submit(spec("orders", "15"), 0).Incarnation
	ankara, izmir := stackOf(inc, "ankara"), stackOf(inc, "ankara2")
	for i, id := range []stacks.StackID{ankara, izmir} {
		_, err := h.EnsurePlacement(ctx, id, func([]string) (stacks.Placement, error) {
			return stacks.Placement{Address: "127.1.1.1", Port: 5432 + i}, nil
		})
		h.must(err)
		h.must(h.PutEndpoint(ctx, id, stacks.Endpoint{Host: "x"}))
		h.must(h.EnsureSecret(ctx, inc, "region/"+id.Region+"/admin"))
	}
	h.must(h.EnsureSecret(ctx, inc, "user/app"))
	boom := errors.New("boom")
	h.is(h.RemoveRegion(ctx, ankara, func(*store.Tx) error { return boom }), boom)
	if _, err := h.Placement(ctx, ankara); err != nil {
		t.Fatalf("a refused removal removed: %v", err)
	}
	for range 2 {
		h.must(h.RemoveRegion(ctx, ankara, nil))
	}
	_, err := h.Placement(ctx, ankara)
	h.is(err, catalog.ErrNotFound)
	_, err = h.Endpoint(ctx, ankara)
	h.is(err, catalog.ErrNotFound)
	_, err = h.Secret(ctx, inc, "region/ankara/admin")
	h.is(err, catalog.ErrNotFound)
	for _, name := range []string{"region/ankara2/admin", "user/app"} {
		if _, err := h.Secret(ctx, inc, name); err != nil {
			t.Errorf("secret %s: %v", name, err)
		}
	}
	h.is(h.RemoveDatabase(ctx, inc), catalog.ErrRefused) // a region is left
	h.must(h.RemoveRegion(ctx, izmir, nil))
	h.must(h.RemoveDatabase(ctx, inc))
}

func TestASecondDatabaseOfTheSameName(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	first := h.finishNew("orders", "15")
	h.must(h.EnsureSecret(ctx, first.Incarnation, "user/app"))
	h.must(h.PutLink(ctx, catalog.Link{Incarnation: first.Incarnation, Name: "a-b"}))
	destroy, err := h.SubmitDestroy(ctx, "default", "orders", "ada")
	h.must(err)
	h.plan(destroy.ID, "destroys default/orders")
	_, err = h.MoveRun(ctx, destroy.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseUnlinking})
	h.is(err, catalog.ErrRefused)
	h.approve(destroy.ID)
	h.move(destroy.ID, stacks.PhaseAwaiting, stacks.PhaseUnlinking)

	// From here on nothing new may be asked of it.
	_, err = h.Submit(ctx, catalog.SubmitInput{Effective: spec("orders", "16"), Kind: stacks.RunApply, ExpectRevision: 1})
	h.is(err, catalog.ErrDestroying)
	if again, err := h.SubmitDestroy(ctx, "default", "orders", "eve"); err != nil || again.ID != destroy.ID {
		t.Fatalf("a second destroy: %+v, %v", again, err)
	}

	h.is(h.RemoveDatabase(ctx, first.Incarnation), catalog.ErrRefused) // a link is left
	h.must(h.DeleteLink(ctx, first.Incarnation, "a-b"))
	for range 2 {
		h.must(h.RemoveDatabase(ctx, first.Incarnation))
	}
	_, err = h.Database(ctx, "default", "orders")
	h.is(err, catalog.ErrNotFound)
	_, err = h.Secret(ctx, first.Incarnation, "user/app")
	h.is(err, catalog.ErrNotFound)

	// The name is free, but the funnel brings the old run to its end before it begins with the new one.
	second := h.submit(spec("orders", "15"), 0)
	if second.Incarnation == first.Incarnation || second.Number != 1 {
		t.Fatalf("second run %+v", second)
	}
	if next := h.next("orders"); next != destroy.ID {
		t.Fatalf("next run %q, want the destroy run's end", next)
	}
	h.move(destroy.ID, stacks.PhaseUnlinking, stacks.PhaseApplying)
	h.move(destroy.ID, stacks.PhaseApplying, stacks.PhaseDone)
	if next := h.next("orders"); next != second.ID {
		t.Fatalf("next run %q", next)
	}
	old, err := h.Incarnation(ctx, first.Incarnation)
	h.must(err)
	if old.Phase != catalog.DatabaseDestroyed || old.DestroyedAt == nil || old.ActiveRun != "" {
		t.Fatalf("first incarnation %+v", old)
	}
	if r := h.run(first.ID); r.Phase != stacks.PhaseDone {
		t.Fatalf("runs stay: %+v", r)
	}
	if rev, err := h.Revision(ctx, first.Incarnation, 0); err != nil || rev.Number != 1 {
		t.Fatalf("revisions stay: %+v, %v", rev, err)
	}
	if a, err := h.Audits(ctx, "default", "orders", 0); err != nil || len(a) < 4 {
		t.Fatalf("the audit stays: %+v, %v", a, err)
	}
}

func TestChangesAreFed(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := h.submit(spec("orders", "15"), 0)
	ch := h.st.Watch(ctx)
	h.plan(r.ID, "")
	h.approve(r.ID)
	seen := map[string]int{}
	deadline := time.After(5 * time.Second)
	for seen["run "+r.ID] < 6 || seen["database default/orders"] < 2 {
		select {
		case c := <-ch:
			seen[c.Topic+" "+c.Key]++
		case <-deadline:
			t.Fatalf("changes %v", seen)
		}
	}
}
