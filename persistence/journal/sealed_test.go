package journal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	"meridian/stacks"
)

var places = []string{"stack", "event", "state", "artifact", "result", "change"}

// fill writes a word into everything that a stack could have written, and returns a function that reads all of it back.
func (h *house) fill(word func(string) string) (readBack func(j *journal.Journal)) {
	h.t.Helper()
	ctx := h.t.Context()
	h.stack(ankara)
	step, err := h.PutStep(ctx, journal.Step{
		ID: "r-1/ankara/plan.1", Run: "r-1", Kind: journal.StepPlan,
		Stack: stacks.Stack{ID: ankara, Digest: "d1", Files: []stacks.File{{Path: "main.tf", Content: []byte(word("stack"))}}},
	})
	h.must(err)
	f := h.mustTake(ankara, step.ID, "a1")
	h.must(h.Ship(ctx, ankara, f, step.ID, journal.Batch{
		Events: []journal.Event{{Seq: 1, Payload: []byte(word("event"))}}, State: snapshot(2, `{"mode":"managed","x":"`+word("state")+`"}`),
	}))
	a := artifact("art-1", "r-1", ankara, 2, word("artifact"))
	a.Changes[0].Attributes = []stacks.AttributeChange{{Path: "p", After: word("change")}}
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step.ID, Outcome: journal.OutcomeChanges, Diagnostics: []stacks.Diagnostic{{Detail: word("result")}}}, a))
	return func(j *journal.Journal) {
		h.t.Helper()
		s, err := j.Step(ctx, step.ID)
		h.must(err)
		e, err := j.Events(ctx, step.ID, 0, 10)
		h.must(err)
		state, err := j.LatestState(ctx, ankara)
		h.must(err)
		a, err := j.Artifact(ctx, "art-1")
		h.must(err)
		r, err := j.Result(ctx, step.ID)
		h.must(err)
		for what, got := range map[string]string{
			"stack": string(s.Stack.Files[0].Content), "event": string(e[0].Payload), "state": string(state.Payload),
			"artifact": string(a.Files[1].Content), "result": r.Diagnostics[0].Detail, "change": r.Changes[0].Attributes[0].After,
		} {
			if !strings.Contains(got, word(what)) {
				h.t.Errorf("the %s did not come back", what)
			}
		}
	}
}

func TestNothingOfAStackLiesInClear(t *testing.T) {
	storetest.SQLiteOnly(t)
	for name, padding := range map[string]string{"small": "", "large enough to be packed": strings.Repeat("padding ", 500)} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			secret := func(what string) string { return "planted-" + what + "-planted" }
			h.fill(func(what string) string { return secret(what) + padding })
			var all []byte
			files, err := filepath.Glob(filepath.Join(h.dir, store.FileName+"*"))
			h.must(err)
			for _, f := range files { // drops the locks of this process: nothing is written after it
				b, err := os.ReadFile(f)
				h.must(err)
				all = append(all, b...)
			}
			if !bytes.Contains(all, []byte(ankara.String())) || len(files) < 3 {
				t.Fatalf("the search does not see what is in clear: it proves nothing (%q)", files)
			}
			for _, what := range places {
				raw := []byte(secret(what))
				for form, b := range map[string][]byte{
					"clear": raw, "hex": []byte(hex.EncodeToString(raw)), "base64": []byte(base64.StdEncoding.EncodeToString(raw)[:len(raw)*4/3-4]),
				} {
					if bytes.Contains(all, b) {
						t.Errorf("the %s lies in the store in %s", what, form)
					}
				}
			}
		})
	}
}

func TestRotationOpensEverythingAfterTheOldKeyIsGone(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	readBack := h.fill(func(what string) string { return what + strings.Repeat(" word", 300) })
	_, err := h.keys.Rotate()
	h.must(err)
	used, err := h.st.SealedPrefixes(ctx, keyring.PrefixLen)
	h.must(err)
	if _, err := h.keys.Retire(used, 0); !errors.Is(err, keyring.ErrInUse) {
		t.Fatalf("a key in use was retired: %v", err)
	}
	h.must(h.Reseal(ctx))
	used, err = h.st.SealedPrefixes(ctx, keyring.PrefixLen)
	h.must(err)
	if len(used) != 1 || !bytes.Equal(used[0], h.keys.Prefix()) {
		t.Fatalf("keys in use %q", used)
	}
	_, err = h.keys.Retire(used, 0)
	h.must(err)
	fresh, err := keyring.Open(keyring.Source{Dir: h.dir}, false)
	h.must(err)
	readBack(journal.New(h.openStore(), fresh))
}

// What an attacker with the file could do: change a row, or give one row the value of another.
func TestAChangedStoreIsNoticed(t *testing.T) {
	for name, query := range map[string]string{
		"another state's text":  "UPDATE states SET sealed = (SELECT sealed FROM states WHERE serial = 1) WHERE serial = 2",
		"another serial":        "UPDATE states SET serial = 9 WHERE serial = 2",
		"another checksum":      "UPDATE states SET sha256 = 'x'",
		"another plan's digest": "UPDATE artifacts SET digest = 'x'",
		"another plan's name":   "UPDATE artifacts SET id = 'art-1', stack_digest = 'x' WHERE id = 'art-1'; UPDATE artifacts SET sealed = (SELECT sealed FROM results)",
		"another step's result": "UPDATE results SET sealed = (SELECT sealed FROM steps)",
		"other events":          "UPDATE events SET first_seq = 0",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			ctx := t.Context()
			h.fill(func(what string) string { return what })
			h.must(h.st.Write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(query)
				return err
			}))
			_, stateErr := h.LatestState(ctx, ankara)
			_, artifactErr := h.Artifact(ctx, "art-1")
			_, resultErr := h.Result(ctx, "r-1/ankara/plan.1")
			_, eventsErr := h.Events(ctx, "r-1/ankara/plan.1", 0, 10)
			if !slices.ContainsFunc([]error{stateErr, artifactErr, resultErr, eventsErr}, func(err error) bool {
				return errors.Is(err, keyring.ErrTampered) || errors.Is(err, journal.ErrChecksum)
			}) {
				t.Fatalf("nothing noticed it: %v, %v, %v, %v", stateErr, artifactErr, resultErr, eventsErr)
			}
		})
	}
}

// TestHeldHeads: only an attempt that is not known to be over holds its head, since its step was made.
func TestHeldHeads(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.stack(ankara)
	step := h.step(ankara, "r-1", "plan.1", journal.StepPlan)
	if held, err := h.HeldHeads(ctx); err != nil || len(held) != 0 {
		t.Fatalf("before anybody works: %+v, %v", held, err)
	}
	f := h.mustTake(ankara, step, "a1")
	made, err := h.Step(ctx, step)
	h.must(err)
	want := journal.HeldHead{Stack: ankara, Site: "here", Step: step, Since: made.CreatedAt}
	if held, err := h.HeldHeads(ctx); err != nil || len(held) != 1 || held[0] != want {
		t.Errorf("while somebody works: %+v, %v, want %+v", held, err, want)
	}
	h.must(h.Finish(ctx, ankara, f, journal.Result{Step: step, Outcome: journal.OutcomeUnchanged}, nil))
	if held, err := h.HeldHeads(ctx); err != nil || len(held) != 0 {
		t.Errorf("afterwards: %+v, %v", held, err)
	}
}
