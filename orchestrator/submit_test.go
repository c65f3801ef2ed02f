package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// place is a provider that runs one version of one engine.
type place struct{}

func (place) Name() string { return "local" }
func (place) EngineVersions(context.Context, string) ([]string, error) {
	return []string{"15.18"}, nil
}

type engine struct{}

func (engine) Name() string { return "postgres" }

// newClient is a client on a real store, without Temporal.
func newClient(t *testing.T) *Client {
	t.Helper()
	dir := t.TempDir()
	keys, err := keyring.Open(keyring.Source{Dir: dir}, true)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c, err := NewClient(t.Context(), Options{
		Catalog: catalog.New(st, keys), Journal: journal.New(st, keys), Timing: stacks.DefaultTiming(), Logger: slog.New(slog.DiscardHandler),
		Registry: providers.NewRegistry([]providers.Provider{place{}}, []providers.Engine{engine{}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(name string) string {
	return fmt.Sprintf("apiVersion: meridian/v1\nkind: Database\nmetadata: {name: %s}\nspec:\n  engine: {name: postgres}\n  regions:\n    - {name: ankara, provider: local, role: primary}\n  deletion: {protect: false}\n", name)
}

func (c *Client) submitText(t *testing.T, texts ...string) (SubmitResult, error) {
	t.Helper()
	return c.Submit(t.Context(), SubmitRequest{Documents: []Document{{File: "all.yaml", Text: strings.Join(texts, "---\n")}}, Actor: "ada", Yes: true})
}

// sourced is a provider whose regions are made of somebody else's module.
type sourced struct{ place }

func (sourced) ModuleSource(providers.ModuleInput) (stacks.ModuleSource, error) {
	return stacks.ModuleSource{Source: "git::https://example.com/m.git"}, nil
}

// killed is a fetch that somebody ends for so many times.
type killed struct{ times int }

func (k *killed) Resolve(context.Context, terraform.ResolveOrder) (terraform.ResolveAnswer, error) {
	if k.times--; k.times >= 0 {
		return terraform.ResolveAnswer{}, errors.New("signal: killed: /data/secret/place")
	}
	return terraform.ResolveAnswer{Package: &stacks.Package{Digest: "d", Files: []stacks.File{{Path: "main.tf"}}}}, nil
}

// TestSubmitWhileTheFetchIsKilled: that says nothing of the module. Nothing is stored, and the same submission goes through a moment later.
func TestSubmitWhileTheFetchIsKilled(t *testing.T) {
	c := newClient(t)
	c.registry = providers.NewRegistry([]providers.Provider{sourced{}}, []providers.Engine{engine{}})
	c.resolver = &killed{times: 1}
	_, err := c.submitText(t, text("orders"))
	var p *Problem
	if !errors.As(err, &p) || p.Code != CodeUnavailable || !strings.Contains(p.Next, "nothing was stored") || strings.Contains(p.Error(), "secret") {
		t.Fatalf("error %v, want a problem %s that shows nothing of the inside", err, CodeUnavailable)
	}
	if dbs, err := c.catalog.Databases(t.Context(), ""); err != nil || len(dbs) > 0 {
		t.Errorf("stored: %v, %v", dbs, err)
	}
	if res, err := c.submitText(t, text("orders")); err != nil || len(res.Runs) != 1 {
		t.Errorf("once more: %+v, %v", res, err)
	}
}

// leaving is a provider whose server is told to stop while it is asked.
type leaving struct {
	place
	stop context.CancelFunc
}

func (l leaving) EngineVersions(ctx context.Context, _ string) ([]string, error) {
	l.stop()
	return nil, ctx.Err()
}

// TestSubmitWhileTheServerStops: nothing is said of a spec that could not be looked at to its end, so that whoever asked asks again.
func TestSubmitWhileTheServerStops(t *testing.T) {
	c := newClient(t)
	ctx, stop := context.WithCancel(t.Context())
	c.registry = providers.NewRegistry([]providers.Provider{leaving{stop: stop}}, []providers.Engine{engine{}})
	_, err := c.Submit(ctx, SubmitRequest{Documents: []Document{{File: "a.yaml", Text: text("orders")}}, Actor: "ada"})
	var p *Problem
	if errors.As(err, &p) || !errors.Is(err, context.Canceled) {
		t.Errorf("answer %v, want one that says that the request was cut short", err)
	}
}

// TestSubmitAllOrNone submits two databases of which one is being destroyed: the other one is not made.
func TestSubmitAllOrNone(t *testing.T) {
	c := newClient(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made, err := c.submitText(t, text("orders"))
	must(err)
	_, err = c.catalog.MoveRun(ctx, made.Runs[0].ID, catalog.Move{From: stacks.PhasePending, To: stacks.PhaseFailed})
	must(err)
	gone, err := c.Destroy(ctx, "default", "orders", "ada")
	must(err)
	if next, err := c.catalog.NextRun(ctx, "default", "orders"); err != nil || next != gone.ID {
		t.Fatalf("next run %s, %v", next, err)
	}
	for _, m := range []catalog.Move{
		{From: stacks.PhasePending, To: stacks.PhasePlanning},
		{From: stacks.PhasePlanning, To: stacks.PhaseAwaiting, PlanDigest: strings.Repeat("a", 64)},
	} {
		_, err := c.catalog.MoveRun(ctx, gone.ID, m)
		must(err)
	}
	_, err = c.Approve(ctx, gone.ID, strings.Repeat("a", 64), "ada")
	must(err)
	_, err = c.catalog.MoveRun(ctx, gone.ID, catalog.Move{From: stacks.PhaseAwaiting, To: stacks.PhaseApplying})
	must(err)

	_, err = c.submitText(t, text("users"), text("orders"))
	var p *Problem
	if !errors.As(err, &p) || p.Code != CodeConflict || !strings.Contains(p.Title, "orders") || !strings.Contains(p.Detail, "default/orders") {
		t.Fatalf("error %#v", err)
	}
	if _, err := c.catalog.Database(ctx, "default", "users"); !errors.Is(err, catalog.ErrNotFound) {
		t.Fatalf("the other database: %v", err)
	}
	both, err := c.submitText(t, text("users"), text("carts"))
	must(err)
	if len(both.Runs) != 2 || both.Runs[0].Name != "users" || both.Runs[1].Name != "carts" {
		t.Fatalf("runs %+v", both.Runs)
	}
}
