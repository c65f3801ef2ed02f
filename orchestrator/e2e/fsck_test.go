package e2e

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"meridian/orchestrator"
	"meridian/orchestrator/workflows"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/providers"
	"meridian/providers/local"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// inventoried is a provider whose inventory a test may change.
type inventoried struct {
	*local.Provider
	change *atomic.Pointer[func([]providers.Object) ([]providers.Object, error)]
}

// Inventory implements providers.Inventory.
func (p inventoried) Inventory(ctx context.Context, places []providers.ModuleInput) ([]providers.Object, error) {
	list, err := p.Provider.Inventory(ctx, places)
	if f := p.change.Load(); f != nil && err == nil {
		return (*f)(list)
	}
	return list, err
}

// broken is one thing that is not as an invariant says.
type broken struct {
	// do breaks it, and returns what puts it back where fsck --repair does not: nil where that does.
	do func() (undo func())
	// says is a part of the finding's subject or sentence.
	says string
	// repaired is a part of what --repair says that it did, "" where a person has to decide.
	repaired string
	// then waits for what the repair set going.
	then func()
	// look, where set, is who looks instead of the Meridian that runs.
	look *meridian
}

// sql changes the store behind Meridian's back.
func (m *meridian) sql(statement string, args ...any) {
	m.site.t.Helper()
	err := m.store.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	})
	if err != nil {
		m.site.t.Fatalf("%s: %v", statement, err)
	}
}

// found looks until fsck finds something of a check, and returns it.
func (m *meridian) found(check, says string, repair bool) (out orchestrator.FsckFinding) {
	m.site.t.Helper()
	m.site.eventually("fsck finds "+check, func() error {
		v, err := m.Fsck(context.Background(), orchestrator.FsckRequest{Repair: repair, Actor: "ada"})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(v.Findings, func(f orchestrator.FsckFinding) bool {
			return f.Check == check && strings.Contains(f.Subject+" "+f.What, says)
		})
		if i < 0 {
			return errNotYet
		}
		out = v.Findings[i]
		return nil
	})
	return out
}

// TestFsck breaks each invariant that fsck names, in an installation that runs: fsck names it, --repair mends what it says that it mends and
// nothing else, and everything agrees again. A check without a case fails the test.
func TestFsck(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.reconcileEvery = time.Hour // else the reconciler is quicker than fsck
	var inventory atomic.Pointer[func([]providers.Object) ([]providers.Object, error)]
	s.wrap = func(p *local.Provider) providers.Provider { return inventoried{p, &inventory} }
	m := s.start()
	run := m.done(orders("orders"))
	agrees := func() {
		t.Helper()
		s.eventually("everything agrees", func() error {
			v, err := m.Fsck(t.Context(), orchestrator.FsckRequest{})
			if err != nil {
				return err
			}
			if len(v.Findings) > 0 || !slices.Equal(v.Checks, orchestrator.Checks) {
				return errors.New(v.Findings[0].Check + " " + v.Findings[0].Subject + ": " + v.Findings[0].What)
			}
			return nil
		})
	}
	agrees()
	incarnation := m.incarnation("orders")
	id := stacks.StackID{Namespace: stacks.DefaultNamespace, Name: "orders", Incarnation: incarnation, Region: "ankara"}
	long := time.Now().Add(-24 * time.Hour).UnixMicro()
	installation, err := m.catalog.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lists := func(f func([]providers.Object) ([]providers.Object, error)) func() {
		inventory.Store(&f)
		return func() { inventory.Store(nil) }
	}
	spool := func(id stacks.StackID) string {
		dir := terraform.Site{Root: s.data}.SpoolDir(id)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	cases := map[string]map[string]broken{
		orchestrator.CheckStoreSound: {"a row that its table does not allow": {says: "NULL value in unsound", do: func() func() {
			s.edit("CREATE TABLE unsound (a TEXT); INSERT INTO unsound VALUES (NULL); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE unsound (a TEXT NOT NULL)' WHERE name = 'unsound'; PRAGMA writable_schema = RESET")
			return func() { s.edit("DROP TABLE unsound") }
		}}},
		orchestrator.CheckSealed: {
			"an endpoint that is another's": {says: "endpoints", do: func() func() {
				m.sql("UPDATE endpoints SET stack = stack || 'x' WHERE stack = ?", id.String())
				return func() { m.sql("UPDATE endpoints SET stack = ? WHERE stack = ?", id.String(), id.String()+"x") }
			}},
			"a state in a spool whose key is lost": {says: "sealed with key", do: func() func() {
				dir := spool(id)
				lost, err := keyring.Open(keyring.Source{Dir: t.TempDir()}, true)
				if err != nil {
					t.Fatal(err)
				}
				state, err := journal.SealSpooled(lost, id, terraform.EmptyState(id))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, terraform.SpooledState), state, 0o600); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
				}
			}},
		},
		orchestrator.CheckJournalRows: {"a head that names another state": {says: "is not the one that its head names", do: func() func() {
			m.sql("UPDATE heads SET serial = serial + 7 WHERE stack = ?", id.String())
			return func() { m.sql("UPDATE heads SET serial = serial - 7 WHERE stack = ?", id.String()) }
		}}},
		orchestrator.CheckCatalogRows: {"a place of nobody": {says: "placements nobody of ghost", do: func() func() {
			m.sql("INSERT INTO placements (stack, incarnation, placement) VALUES ('nobody', 'ghost', '{}')")
			return func() { m.sql("DELETE FROM placements WHERE stack = 'nobody'") }
		}}},
		orchestrator.CheckRunActive: {
			"a run that there is not": {says: "is not in the catalog", repaired: "chose anew", do: func() func() {
				m.sql("UPDATE databases SET active_run = 'ghost' WHERE incarnation = ?", incarnation)
				return nil
			}},
			"a run that has ended": {says: "has ended", repaired: "chose anew", do: func() func() {
				m.sql("UPDATE databases SET active_run = ? WHERE incarnation = ?", run.ID, incarnation)
				return nil
			}},
		},
		orchestrator.CheckTemporal: {"it was never there": {says: "it is away", look: s.look(), do: func() func() { return func() {} }}},
		orchestrator.CheckRunWorkflow: {"a run that nobody works on": {says: "no workflow works on it", repaired: "reconciled", do: func() func() {
			m.sql("UPDATE runs SET phase = ?, ended_at = NULL, moved_at = ? WHERE id = ?", stacks.PhaseLinking, long, run.ID)
			return nil
		}, then: func() { s.wantDone(m, run.ID) }}},
		orchestrator.CheckWorkflowRow: {"a workflow of no run": {says: "no open run has it", repaired: "reconciled", do: func() func() {
			_, err := m.sdk.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: workflows.RunID(installation, "ghost"), TaskQueue: "nobody-listens"}, "Nothing")
			if err != nil {
				t.Fatal(err)
			}
			return nil
		}}},
		orchestrator.CheckHeadRunner: {"a runner that died": {says: "was last heard of", repaired: "a runner was started", do: func() func() {
			site, err := terraform.Site{Root: s.data}.ID()
			if err != nil {
				t.Fatal(err)
			}
			step, err := m.journal.PutStep(t.Context(), journal.Step{ID: run.ID + "/ankara/check.99", Run: run.ID, Kind: journal.StepPlan, Stack: stacks.Stack{ID: id}})
			if err != nil {
				t.Fatal(err)
			}
			var fence journal.Fence
			err = m.store.Write(t.Context(), func(tx *store.Tx) (err error) {
				fence, err = m.journal.TakeFence(t.Context(), tx, journal.TakeInput{Stack: id, Step: step.ID, Attempt: "dead", Site: site})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			m.sql("UPDATE heads SET beat_at = ? WHERE stack = ?", long, id.String())
			return func() { // it has left no spool by which the runner that was started could settle it
				if err := m.journal.Finish(t.Context(), id, fence, journal.Result{Step: step.ID, Outcome: journal.OutcomeInterrupted}, nil); err != nil {
					t.Fatal(err)
				}
			}
		}}},
		orchestrator.CheckHeadDatabase: {"its database is destroyed": {says: "its database is destroyed", do: func() func() {
			m.sql("UPDATE databases SET destroyed_at = 1 WHERE incarnation = ?", incarnation)
			return func() { m.sql("UPDATE databases SET destroyed_at = NULL WHERE incarnation = ?", incarnation) }
		}}},
		orchestrator.CheckSpoolHead: {
			"of no head": {says: "no head has this spool", do: func() func() {
				ghost := id
				ghost.Name = "ghost"
				dir := spool(ghost)
				return func() {
					if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
						t.Fatal(err)
					}
				}
			}},
			"of an attempt that is over": {says: "was not cleaned", repaired: "a runner sweeps", do: func() func() {
				dir := spool(id)
				return func() { // nothing in it says of which attempt it is, so that runner leaves it
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
				}
			}},
		},
		orchestrator.CheckWorldReachable: {
			"the provider cannot be asked": {says: "it cannot be asked what is there", do: func() func() {
				return lists(func([]providers.Object) ([]providers.Object, error) { return nil, errors.New("no answer") })
			}},
			"a region does not answer": {says: "its slots were not counted", do: func() func() {
				m.sql("UPDATE secrets SET name = name || 'x' WHERE incarnation = ?", incarnation)
				return func() {
					m.sql("UPDATE secrets SET name = substr(name, 1, length(name) - 1) WHERE incarnation = ?", incarnation)
				}
			}},
		},
		orchestrator.CheckWorldKnown: {"something of ours that no state has": {says: "no state knows it", do: func() func() {
			return lists(func(list []providers.Object) ([]providers.Object, error) {
				more := list[0]
				more.ID, more.ImportID = more.ID+"-more", more.ImportID+"-more"
				return append(slices.Clone(list), more), nil
			})
		}}},
		orchestrator.CheckWorldThere: {"something that is gone": {says: "is in its state and not in the world", do: func() func() {
			return lists(func([]providers.Object) ([]providers.Object, error) { return nil, nil })
		}}},
		orchestrator.CheckLinkSlots: {"a slot too many": {says: "it has 2", do: func() func() {
			slot := m.query("orders", "ankara", "select slot_name::text from pg_replication_slots") + "_more"
			m.asAdmin("orders", "ankara", "orders", "select pg_create_logical_replication_slot('"+slot+"', 'pgoutput')")
			return func() { m.asAdmin("orders", "ankara", "orders", "select pg_drop_replication_slot('"+slot+"')") }
		}}},
	}
	if without := slices.DeleteFunc(slices.Clone(orchestrator.Checks), func(c string) bool { return len(cases[c]) > 0 }); len(without) > 0 || len(cases) != len(orchestrator.Checks) {
		t.Fatalf("nothing breaks %v; %d checks are broken, there are %d", without, len(cases), len(orchestrator.Checks))
	}
	for _, check := range orchestrator.Checks {
		for _, name := range slices.Sorted(maps.Keys(cases[check])) {
			b := cases[check][name]
			who := m
			if b.look != nil {
				who = b.look
			}
			t.Logf("%s: %s", check, name)
			undo := b.do()
			f := who.found(check, b.says, false)
			if f.Repaired != "" || f.Next == "" || (b.repaired != "") != strings.Contains(f.Next, "--repair") {
				t.Errorf("%s, %s: it says %+v", check, name, f)
			}
			if f = who.found(check, b.says, true); (b.repaired == "") != (f.Repaired == "") || !strings.Contains(f.Repaired, b.repaired) {
				t.Errorf("%s, %s: --repair did %q, want %q", check, name, f.Repaired, b.repaired)
			}
			if b.then != nil {
				b.then()
			}
			if undo != nil {
				undo()
			}
			agrees()
		}
	}
	if said := m.verbs()["fsck repair"]; said != 0 {
		t.Errorf("%d repairs are audited as of a database", said)
	}
	all, err := m.catalog.Audits(t.Context(), "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	repairs := 0
	for _, a := range all {
		if a.Verb == "fsck repair" && a.Actor == "ada" {
			repairs++
		}
	}
	if repairs < 6 {
		t.Errorf("%d repairs are in the audit, want at least 6", repairs)
	}
}
