package runner_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meridian/orchestrator/runner"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/stacks/terraform"
)

// hidden is what a foreign module puts into its state.
const hidden = "hunter2-of-a-foreign-module"

// dead leaves an apply whose every process was killed when its first object, with a secret, was in its state. Only the spool knows that state:
// the work directory's file is torn, and the store was never told.
func (w *world) dead() (step string) {
	w.t.Helper()
	s := w.stack(`
resource "terraform_data" "first" {
  input = "` + hidden + `"
}

resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "echo said-` + hidden + `; echo begin 0 >> ` + w.ledger + `; until [ -e ` + w.gate + ` ]; do sleep 0.02; done"
  }
}
`)
	plan := w.plan(s)
	w.env = append(w.env, terraform.EnvTiming+`={"ShipEvery":3600000000000}`)
	step = w.applyStep(s, plan)
	cmd := w.spawn("step", "--step", step)
	w.t.Cleanup(func() { w.endAll(); _ = cmd.Wait() })
	w.until("the second object is being made", func() bool { return w.lines("begin") > 0 })
	w.until("the first object is in the spool", func() bool {
		return bytes.Contains(w.peek(filepath.Join(w.site.SpoolDir(w.id), terraform.SpooledState)), []byte(hidden))
	})
	for _, role := range []string{"runner", "shim", "terraform", "other"} {
		w.kill(role, syscall.SIGKILL)
	}
	w.gone("")
	w.env = nil
	check(w.t, os.Truncate(filepath.Join(w.site.WorkDir(w.id), terraform.StateFileName), 10))
	return step
}

// peek opens a spool's state; nil where that cannot be done.
func (w *world) peek(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	keys, err := keyring.Open(keyring.Source{Dir: w.site.Root}, false)
	check(w.t, err)
	id, state, err := journal.OpenSpooled(keys, data)
	if err != nil || id != w.id {
		return nil
	}
	return state
}

// spooled has the runner show a spool's state.
func (w *world) spooled(path string) []byte {
	w.t.Helper()
	out := filepath.Join(w.t.TempDir(), "out")
	f, err := os.Create(out)
	check(w.t, err)
	defer f.Close()
	args := []string{terraform.VerbSpooled, "--data", w.site.Root, "--file", path}
	var said bytes.Buffer
	if code := runner.Main(args, f, &said); code != terraform.ExitError || !strings.Contains(said.String(), "--with-secrets") {
		w.t.Errorf("without being asked for secrets: exit code %d, %s", code, said.String())
	}
	if code := runner.Main(append(args, "--with-secrets"), f, os.Stderr); code != terraform.ExitDone {
		w.t.Fatalf("exit code %d", code)
	}
	data, err := os.ReadFile(out)
	check(w.t, err)
	return data
}

// first asserts that the first object is in the newest state of the store, with its secret.
func (w *world) first() {
	w.t.Helper()
	if st, _ := w.state(); !bytes.Contains(st.Payload, []byte(hidden)) {
		w.t.Errorf("the newest state does not have what only the spool knew: %s", st.Payload)
	}
}

// TestNothingOfAStateIsInClearInASpool: what a module puts into its state lies in the spool sealed, and an adopter reads it there.
func TestNothingOfAStateIsInClearInASpool(t *testing.T) {
	w := newWorld(t)
	step := w.dead()
	looked := 0
	check(t, filepath.WalkDir(w.site.SpoolDir(w.id), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		looked++
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(hidden)) {
			t.Errorf("%s has the secret in clear", path)
		}
		return err
	}))
	if looked < 4 {
		t.Errorf("looked into %d files", looked)
	}
	if r := w.do(step); r.Outcome != journal.OutcomeInterrupted {
		t.Fatalf("result: %+v", r)
	}
	w.first()
	w.clean()
}

// TestASpoolOfTheVersionBefore: a runner of the version before has left its newest state in clear. It is taken up, and nothing of it is lost.
func TestASpoolOfTheVersionBefore(t *testing.T) {
	w := newWorld(t)
	step := w.dead()
	spool := w.site.SpoolDir(w.id)
	state := w.peek(filepath.Join(spool, terraform.SpooledState))
	check(t, os.Remove(filepath.Join(spool, terraform.SpooledState)))
	kept := binary.BigEndian.AppendUint32(nil, crc32.Checksum(state, crc32.MakeTable(crc32.Castagnoli)))
	check(t, os.WriteFile(filepath.Join(spool, "state.snapshot"), append(kept, state...), 0o600))
	record := filepath.Join(spool, "attempt.json")
	text, err := os.ReadFile(record)
	check(t, err)
	if !bytes.Contains(text, []byte(`"format":2`)) {
		t.Fatalf("the attempt's record is %s", text)
	}
	said := filepath.Join(w.site.WorkDir(w.id), ".terraform", "output.ndjson")
	if text, err := os.ReadFile(said); err != nil || !bytes.Contains(text, []byte("said-"+hidden)) {
		t.Errorf("terraform said %s, %v", text, err)
	}
	check(t, os.Rename(said, filepath.Join(spool, "output.ndjson")))
	check(t, os.WriteFile(record, bytes.Replace(text, []byte(`"format":2`), []byte(`"format":1`), 1), 0o600))
	if r := w.do(step); r.Outcome != journal.OutcomeInterrupted {
		t.Fatalf("result: %+v", r)
	}
	if text := w.events(step); !strings.Contains(text, `"apply_start"`) {
		t.Errorf("what terraform said was lost: %s", text)
	}
	w.first()
	w.clean()
}

// TestALostKeyOfASpool: the key by which the newest state was sealed is not in the ring. The step is not run, nothing is touched, and once the ring
// is back, it goes on from there.
func TestALostKeyOfASpool(t *testing.T) {
	w := newWorld(t)
	step := w.dead()
	sealed := filepath.Join(w.site.SpoolDir(w.id), terraform.SpooledState)
	state := w.peek(sealed)
	elsewhere := t.TempDir()
	other, err := keyring.Open(keyring.Source{Dir: elsewhere}, true)
	check(t, err)
	data, err := journal.SealSpooled(other, w.id, state)
	check(t, err)
	check(t, os.WriteFile(sealed, data, 0o600))
	before, err := w.journal.Head(context.Background(), w.id)
	check(t, err)
	for _, args := range [][]string{{"step", "--step", step}, {"step", "--step", w.put(journal.StepPlan, w.items(1, 0), nil)}, {"step", "--step", step, "--adopt"}} {
		if code := w.wait(w.spawn(args...)); code != terraform.ExitError {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	for _, want := range []string{"cannot be opened; nothing was touched", other.IDs()[0], "put " + filepath.Join(w.site.Root, keyring.FileName) + " back"} {
		if !strings.Contains(w.log(), want) {
			t.Errorf("the log does not say %q:\n%s", want, w.log())
		}
	}
	if a := w.sweep(); len(a.Cleaned) != 0 {
		t.Errorf("sweep: %+v", a)
	}
	if kept, err := os.ReadFile(sealed); err != nil || !bytes.Equal(kept, data) {
		t.Errorf("the spool's state was touched: %v", err)
	}
	if head, err := w.journal.Head(context.Background(), w.id); err != nil || head != before {
		t.Errorf("the head was %+v, is %+v, %v", before, head, err)
	}

	var ring, lost struct {
		Keys []json.RawMessage `json:"keys"`
	}
	for dir, into := range map[string]any{w.site.Root: &ring, elsewhere: &lost} {
		text, err := os.ReadFile(filepath.Join(dir, keyring.FileName))
		check(t, err)
		check(t, json.Unmarshal(text, into))
	}
	ring.Keys = append(lost.Keys, ring.Keys...)
	text, err := json.Marshal(ring)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(w.site.Root, keyring.FileName), text, 0o600))
	if r := w.do(step); r.Outcome != journal.OutcomeInterrupted {
		t.Fatalf("result: %+v", r)
	}
	w.first()
	w.clean()
}
