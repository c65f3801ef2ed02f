package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/catalog"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// sealing makes a server, or a worker, seal what Temporal is given, have checks for drift come often, and keep older keys for a short while.
func (s *site) sealing() func(*exec.Cmd) {
	s.t.Helper()
	settings := filepath.Join(s.aside(), "meridian.yaml")
	if err := os.WriteFile(settings, []byte("temporal: {encrypt: true}\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	d := timing()
	d.WorkflowTaskTimeout = 2 * time.Second
	d.DriftEvery = 2 * ticking
	d.KeyGrace = 3 * time.Second
	text, err := json.Marshal(d)
	if err != nil {
		s.t.Fatal(err)
	}
	return func(cmd *exec.Cmd) {
		cmd.Args = append(cmd.Args, "--config", settings)
		cmd.Env = append(cmd.Env, terraform.EnvTiming+"="+string(text))
	}
}

// ring are the IDs of the keys in a site's file, oldest first.
func (s *site) ring() (ids []string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, keyring.FileName))
	if err != nil {
		s.t.Fatal(err)
	}
	var ring struct{ Keys []struct{ ID string } }
	if err := json.Unmarshal(text, &ring); err != nil {
		s.t.Fatal(err)
	}
	for _, k := range ring.Keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// sealedWith counts the rows that a key has sealed.
func (m *meridian) sealedWith(key string) (n int64) {
	m.site.t.Helper()
	counts, err := m.store.SealedCounts(context.Background(), keyring.PrefixLen)
	if err != nil {
		m.site.t.Fatal(err)
	}
	for _, c := range counts {
		if keyring.KeyOf(c.Prefix) == key {
			n += c.Rows
		}
	}
	return n
}

// opsOf is what the plugin began and ended for a database.
func (s *site) opsOf(name string) string {
	var out []string
	for _, l := range s.ledger() {
		if strings.Contains(filepath.Base(l.DataDir), "."+name+".") {
			out = append(out, l.Op+" "+l.Phase)
		}
	}
	return strings.Join(out, ", ")
}

// kinds are the kinds of what holds a key.
func kinds(held []orchestrator.KeyHold) (out []string) {
	for _, h := range held {
		out = append(out, h.Kind)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestKeysAreRotated rotates and retires the key of everything while everything works: terraform is in the middle of an apply, with a worker in a
// process of its own, checks for drift come by themselves, and what Temporal is given is sealed. The server is killed while it seals again.
// Whoever needs the old key is named, and keeps it; afterwards it is gone from the ring, and nobody misses it.
func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	sealing := s.sealing()
	slowly := func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, pgserver.EnvDelay+"=12s") }
	ctx := t.Context()
	srv := s.serve(sealing)
	m := s.look()
	old := s.ring()[0]
	srv.wantDone(srv.submitted(strings.Replace(alone("{action: report}"), "{name: alone}", "{name: checked}", 1)).ID)
	if c := m.nextCheck("checked"); c.Outcome != catalog.DriftClean { // its schedule was made with the old key
		t.Fatalf("a check that came by itself is %s: %s", c.Outcome, c.Message)
	}
	srv.kill()
	srv = s.serve(slowly, sealing)
	worker := s.work(nil, slowly, sealing).joins()
	run := srv.wait(srv.asked(alone("{action: report}")).ID)
	for i := range 400 {
		if err := m.catalog.AppendLog(ctx, catalog.LogLine{Run: run.ID, Level: "INFO", Text: fmt.Sprintf("line %d", i)}); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := srv.Approve(ctx, run.ID, run.PlanDigest, "test"); err != nil {
		t.Fatal(err)
	}
	s.eventually("a server is being made", func() error {
		if got := s.opsOf("alone"); got != "create begin" {
			return fmt.Errorf("the plugin did %q", got)
		}
		return nil
	})

	t.Log("the server is killed while it seals again, and whoever asks again finishes that")
	asked := make(chan error, 1)
	go func() { _, err := srv.RotateKeys(context.Background(), "test"); asked <- err }()
	for end := time.After(patience); len(s.ring()) < 2; {
		select {
		case err := <-asked:
			t.Fatalf("the rotation ended: %v", err)
		case <-end:
			t.Fatal("no key was made")
		case <-time.After(time.Millisecond):
		}
	}
	srv.kill()
	<-asked
	left := m.sealedWith(old)
	srv = s.serve(slowly, sealing)
	rotated, err := srv.RotateKeys(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	ring := s.ring()
	if left == 0 || !rotated.Finished || len(ring) != 2 || rotated.Key != ring[1] || !slices.Equal(rotated.Old, []string{old}) {
		t.Fatalf("killed with %d rows left, then %+v with the ring %v: want the same rotation finished", left, rotated, ring)
	}
	t.Logf("%d rows were left, %d were sealed again", left, rotated.Resealed)

	t.Log("nothing is retired while terraform works that began before")
	held, err := srv.RetireKeys(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	got := kinds(held.Held)
	if len(held.Retired) != 0 || !slices.Contains(got, orchestrator.HoldHead) || !slices.Contains(got, orchestrator.HoldWorkflow) || slices.Contains(got, orchestrator.HoldWorker) || len(s.ring()) != 2 {
		t.Fatalf("retired %v, held by %+v", held.Retired, held.Held)
	}
	if got := s.opsOf("alone"); got != "create begin" {
		t.Fatalf("the plugin did %q: the key was not rotated in the middle of a create", got)
	}
	srv.wantDone(run.ID)

	t.Log("a run that waits for its yes needs no old key; then nothing does")
	waits := srv.asked(strings.Replace(alone("{action: report}"), "8MB", "16MB", 1))
	if v := srv.wait(waits.ID); v.Phase != stacks.PhaseAwaiting {
		t.Fatalf("the run is %s: %s", v.Phase, v.Message)
	}
	var retired orchestrator.RetireView
	s.eventually("the old key is retired", func() error {
		if retired, err = srv.RetireKeys(ctx, "test"); err != nil {
			t.Fatal(err)
		}
		if len(retired.Retired) == 0 {
			return fmt.Errorf("held by %+v", retired.Held)
		}
		return nil
	})
	if left := s.ring(); !slices.Equal(left, ring[1:]) || !slices.Equal(retired.Retired, []string{old}) || m.sealedWith(old) != 0 {
		t.Errorf("retired %v, the ring is %v", retired.Retired, left)
	}

	t.Log("nobody misses it, a server that starts anew least of all")
	srv.kill()
	worker.kill() // it has the old key in memory until it seals
	srv = s.serve(sealing)
	waits = srv.wait(waits.ID)
	if _, err := srv.Approve(ctx, waits.ID, waits.PlanDigest, "test"); err != nil {
		t.Fatal(err)
	}
	srv.wantDone(waits.ID)
	for _, name := range []string{"alone", "checked"} {
		if c := m.nextCheck(name); c.Outcome != catalog.DriftClean {
			t.Errorf("a check of %s that came by itself is %s: %s", name, c.Outcome, c.Message)
		}
	}
	lines, err := srv.Logs(ctx, run.ID, 0, 1000)
	if err != nil || len(lines) < 400 {
		t.Errorf("%d lines of the first run's log, %v", len(lines), err)
	}
	keys, err := srv.Keys(ctx)
	if err != nil || len(keys.Keys) != 1 || !keys.Keys[0].Seals || keys.Keys[0].Rows == 0 || len(keys.Lost) != 0 || !keys.Payloads || keys.Given {
		t.Errorf("the ring is %+v, %v", keys, err)
	}
	look, err := srv.Fsck(ctx, orchestrator.FsckRequest{Actor: "test"})
	if err != nil || !look.Agree() {
		t.Errorf("fsck: %+v, %v", look.Findings, err)
	}
	again, err := srv.RotateKeys(ctx, "test")
	if err != nil || again.Finished || len(s.ring()) != 2 {
		t.Errorf("a second rotation: %+v, %v", again, err)
	}
}

// TestKeysAreNotRotatedUnderOthers: a worker on another machine, with a ring of its own, would not have the new key. It is named, and nothing is done.
func TestKeysAreNotRotatedUnderOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.db = storetest.Start(t).URL
	sealing := s.sealing()
	srv := s.serve(sealing)
	other := newSite(t)
	if out, err := exec.Command("cp", "-a", s.data+"/.", other.data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, own := range []string{"site", "lock"} {
		if err := os.RemoveAll(filepath.Join(other.data, own)); err != nil {
			t.Fatal(err)
		}
	}
	other.db = s.db
	other.work(nil, sealing, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, store.Env+"="+s.db) }).joins()
	id, err := terraform.Site{Root: other.data}.ID()
	if err != nil || id == "" {
		t.Fatalf("the other site has the ID %q, %v", id, err)
	}
	before := s.ring()
	s.eventually("the worker is noticed", func() error {
		v, err := srv.Keys(t.Context())
		if err == nil && !slices.ContainsFunc(v.Elsewhere, func(who string) bool { return strings.Contains(who, "of site "+id) }) {
			err = fmt.Errorf("elsewhere is %q", v.Elsewhere)
		}
		return err
	})
	_, err = srv.RotateKeys(t.Context(), "test")
	if p := wantProblem(t, err, orchestrator.CodeRefused); !strings.Contains(p.Detail, "of site "+id) || !strings.Contains(p.Next, "copy "+keyring.FileName) {
		t.Errorf("refused with %v", p)
	}
	if after := s.ring(); !slices.Equal(before, after) {
		t.Errorf("the ring was %v and is %v", before, after)
	}
	t.Log("a worker whose ring does not open the store ends at once, and says why")
	wrong := other.work(nil, sealing, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, store.Env+"="+s.db, terraform.EnvKeyring+"="+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("w"), 32)))
	})
	select {
	case <-wrong.ended:
	case <-time.After(patience):
		t.Fatalf("it goes on\n%s", wrong.logTail())
	}
	if log := wrong.logTail(); wrong.err == nil || !strings.Contains(log, "the key is lost") || !strings.Contains(log, before[0]) {
		t.Errorf("it ended with %v\n%s", wrong.err, log)
	}
}

// TestKeysOfAVariable: a ring that people keep is changed by them. What is sealed follows, and they are told what they may take out.
func TestKeysOfAVariable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sealing := s.sealing()
	ctx := t.Context()
	keyOf := func(letter string) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(letter), 32)) }
	given := func(ring string) func(*exec.Cmd) {
		return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, terraform.EnvKeyring+"="+ring) }
	}
	srv := s.serve(sealing, given(keyOf("a")))
	first, err := srv.Keys(ctx)
	if err != nil || !first.Given || len(first.Keys) != 1 || first.Keys[0].Rows == 0 {
		t.Fatalf("the ring is %+v, %v", first, err)
	}
	_, err = srv.RotateKeys(ctx, "test")
	if p := wantProblem(t, err, orchestrator.CodeRefused); !strings.Contains(p.Next, "append a key there") {
		t.Errorf("refused with %v", p)
	}
	srv.stop()

	created := time.Now().UTC().Format(time.RFC3339)
	srv = s.serve(sealing, given(fmt.Sprintf(`{"keys": [{"key": %q}, {"key": %q, "created": %q}]}`, keyOf("a"), keyOf("b"), created)))
	var v orchestrator.RetireView
	s.eventually("the old key may be taken out", func() error {
		if v, err = srv.RetireKeys(ctx, "test"); err != nil {
			t.Fatal(err)
		}
		if len(v.TakeOut) == 0 {
			return fmt.Errorf("held by %+v", v.Held)
		}
		return nil
	})
	if len(v.Retired) != 0 || !slices.Equal(v.TakeOut, []string{first.Keys[0].ID}) || v.Key == first.Keys[0].ID {
		t.Errorf("what may be taken out: %+v", v)
	}
	srv.stop()

	srv = s.serve(sealing, given(keyOf("b")))
	if look, err := srv.Fsck(ctx, orchestrator.FsckRequest{Actor: "test"}); err != nil || !look.Agree() {
		t.Errorf("fsck: %+v, %v", look.Findings, err)
	}
	if _, err := os.Stat(filepath.Join(s.data, keyring.FileName)); err == nil {
		t.Error("a ring was written into the data directory")
	}
}
