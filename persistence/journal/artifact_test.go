package journal_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"meridian/persistence/journal"
	"meridian/stacks"
)

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func artifact(id, run string, stack stacks.StackID, serial int64, content string) *journal.Artifact {
	plan := []byte("PK plan " + content)
	return &journal.Artifact{
		ID: id, Run: run, Stack: stack, Digest: digest(plan), StackDigest: "d1", StateSerial: serial, Terraform: "1.11.4", Template: "tmpl", WorkPath: "/w",
		Changes: []stacks.Change{{Address: content, Action: stacks.ActionCreate}},
		Files:   []stacks.File{{Path: ".terraform.lock.hcl", Content: []byte("lock")}, {Path: "meridian.tfplan", Content: plan}},
	}
}

func TestTheFirstArtifactOfAPlanWins(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	finish := func(n int, a *journal.Artifact) journal.Result {
		t.Helper()
		step := h.step(ankara, "r-1", fmt.Sprintf("plan.%d", n), journal.StepPlan)
		f := h.mustTake(ankara, step, fmt.Sprintf("a%d", n))
		h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step, Outcome: journal.OutcomeChanges, Changes: a.Changes}, a))
		r, err := h.Result(ctx, step)
		h.must(err)
		return r
	}
	finish(1, artifact("art-1", "r-1", ankara, 1, "first"))
	r := finish(2, artifact("art-2", "r-1", ankara, 1, "second"))
	if r.Artifact != "art-1" || r.Changes[0].Address != "first" {
		t.Fatalf("result %+v", r)
	}
	if _, err := h.Artifact(ctx, "art-2"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("the second artifact stayed: %v", err)
	}
	if r := finish(3, artifact("art-3", "r-1", ankara, 2, "third")); r.Artifact != "art-3" {
		t.Errorf("a plan of another serial: %+v", r)
	}
}

func TestAnArtifactWithoutItsPlanIsRefused(t *testing.T) {
	h := newHouse(t)
	h.stack(ankara)
	step := h.step(ankara, "r-1", "plan.1", journal.StepPlan)
	f := h.mustTake(ankara, step, "a1")
	a := artifact("art-1", "r-1", ankara, 1, "x")
	a.Files = a.Files[:1]
	if err := h.Finish(t.Context(), ankara, f, journal.Result{Step: step}, a); !errors.Is(err, journal.ErrChecksum) {
		t.Fatal(err)
	}
	if head := h.head(ankara); head.Status != journal.HeadRunning {
		t.Fatalf("head %+v", head)
	}
}
