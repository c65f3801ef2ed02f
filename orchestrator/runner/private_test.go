package runner_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"meridian/orchestrator/runner"
	"meridian/persistence/journal"
	"meridian/providers/local/plugin"
	"meridian/providers/local/server"
)

// envMisbehave makes the test's plugin, where a shim or runner starts it, crash or say nothing.
const envMisbehave = "MERIDIAN_LOCALDB_MISBEHAVE"

func misbehave() (code int, over bool) {
	if os.Getenv("PLUGIN_CLIENT_CERT") != "" { // terraform itself starts it
		return 0, false
	}
	switch os.Getenv(envMisbehave) {
	case "crash":
		return 1, true
	case "babble":
		fmt.Println("1|6|tcp|127.0.0.1:1|grpc|")
		return 0, true
	case "silence":
		select {}
	}
	return 0, false
}

// stat is what a test reads of /proc/PID/stat.
type stat struct{ parent, group, session int }

func (p proc) stat(t *testing.T) stat {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	check(t, err)
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var n [3]int
	for i := range n {
		n[i], err = strconv.Atoi(f[i+1])
		check(t, err)
	}
	return stat{n[0], n[1], n[2]}
}

// plugins lists the processes of our plugin.
func (w *world) plugins() []proc {
	return slices.DeleteFunc(w.processes("other"), func(p proc) bool { return !strings.Contains(p.args, "terraform-provider-localdb") })
}

// atGate starts the apply of a server and waits until terraform waits at the gate with one plugin.
func (w *world) atGate() (step, address string) {
	w.t.Helper()
	s, address := w.postgres()
	step = w.applyStep(s, w.plan(s))
	cmd := w.spawn("step", "--step", step)
	w.t.Cleanup(func() { w.endAll(); _ = cmd.Wait() }) // a test that failed opens no gate
	w.until("terraform waits at the gate", func() bool { return w.lines("begin") > 0 })
	w.until("one plugin lives", func() bool { return len(w.plugins()) == 1 })
	return step, address
}

// TestPrivatePlugin: the shim starts the plugin, once for the whole launch; it holds the stack's lock, has terraform's environment and is in
// no group that anybody signals. Where it is switched off, terraform starts it.
func TestPrivatePlugin(t *testing.T) {
	for name, private := range map[string]bool{"private": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if !private {
				w.env = []string{runner.EnvPrivatePlugin + "=off"}
			}
			step, _ := w.atGate()
			shim, tf, p := w.one("shim"), w.one("terraform"), w.plugins()[0]
			of := p.stat(t)
			if (of.parent == shim.pid) != private || (of.parent == tf.pid) == private {
				t.Errorf("private %v: the parent of the plugin is %d, the shim is %d, terraform %d", private, of.parent, shim.pid, tf.pid)
			}
			if of.session != shim.stat(t).session || (of.group == tf.pid) == private {
				t.Errorf("the plugin is in session %d and group %d, the shim in %d", of.session, of.group, shim.stat(t).session)
			}
			lock, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", p.pid))
			if err != nil || lock != w.site.StackLock(w.id) {
				t.Errorf("descriptor 3 of the plugin is %q, %v, want the stack's lock", lock, err)
			}
			if theirs, ours := environOf(t, tf), environOf(t, p); !containsAll(ours, theirs) {
				t.Errorf("the plugin lacks a variable that terraform has") // never which: one is a secret
			} else if !slices.ContainsFunc(ours, func(v string) bool { return strings.HasPrefix(v, "TF_VAR_admin_password=") }) {
				t.Error("terraform has no secret: this test proves nothing")
			} else if slices.Contains(theirs, "GOMAXPROCS=1") || slices.Contains(ours, "GOMAXPROCS=1") {
				t.Error("terraform and its plugin are kept to one core, which is for the shim alone")
			}
			w.open()
			w.gone("runner")
			if r := w.result(step); r.Outcome != journal.OutcomeApplied || r.Launches != 1 {
				t.Errorf("result: %+v\n%s", r, w.log())
			}
			w.clean()
		})
	}
}

// environOf is a process's environment without what only its parent's kind sets.
func environOf(t *testing.T, p proc) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
	check(t, err)
	return slices.DeleteFunc(strings.Split(string(text), "\x00"), func(v string) bool {
		return v == "" || strings.HasPrefix(v, "TF_REATTACH_PROVIDERS=")
	})
}

func containsAll(list, wanted []string) bool {
	for _, v := range wanted {
		if !slices.Contains(list, v) {
			return false
		}
	}
	return true
}

// TestPlansFitBothKindsOfLaunch: a plan that was made with a private plugin is applied without one, and the other way round; a check finds
// nothing either way.
func TestPlansFitBothKindsOfLaunch(t *testing.T) {
	off := []string{runner.EnvPrivatePlugin + "=off"}
	for name, c := range map[string]struct{ plan, apply []string }{
		"planned with":    {plan: nil, apply: off},
		"planned without": {plan: off, apply: nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, _ := w.postgres()
			w.open()
			w.env = c.plan
			plan := w.plan(s)
			w.env = c.apply
			if r := w.do(w.applyStep(s, plan)); r.Outcome != journal.OutcomeApplied || len(r.Diagnostics) != 0 {
				t.Fatalf("apply: %+v\n%s", r, w.log())
			}
			for _, env := range [][]string{nil, off} {
				w.env = env
				if r := w.do(w.put(journal.StepCheck, s, nil)); r.Outcome != journal.OutcomeUnchanged || len(r.Diagnostics) != 0 {
					t.Errorf("check with %v: %+v\n%s", env, r, w.log())
				}
			}
			w.clean()
		})
	}
}

// TestPrivatePluginThatDoesNotStart: terraform starts the plugin itself then.
func TestPrivatePluginThatDoesNotStart(t *testing.T) {
	for _, how := range []string{"crash", "babble"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			s, _ := w.postgres()
			w.open()
			w.env = []string{envMisbehave + "=" + how}
			if r := w.do(w.applyStep(s, w.plan(s))); r.Outcome != journal.OutcomeApplied || len(r.Diagnostics) != 0 {
				t.Fatalf("apply: %+v\n%s", r, w.log())
			}
			if r := w.do(w.put(journal.StepCheck, s, nil)); r.Outcome != journal.OutcomeUnchanged {
				t.Errorf("check: %+v\n%s", r, w.log())
			}
			w.clean()
		})
	}
}

// TestShimKilledWithItsPlugin: terraform goes on with the plugin, which is ended once terraform is dead.
func TestShimKilledWithItsPlugin(t *testing.T) {
	w := newWorld(t)
	step, _ := w.atGate()
	p := w.plugins()[0]
	w.kill("shim", syscall.SIGKILL)
	w.gone("shim")
	if after := w.plugins(); len(after) != 1 || after[0].pid != p.pid {
		t.Fatalf("the plugin was %d, is %v", p.pid, after)
	}
	w.open()
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeInterrupted {
		t.Fatalf("shim killed: %+v\n%s", r, w.log())
	}
	if _, file := w.state(); len(file.Resources) != 2 {
		t.Errorf("state: %+v", file.Resources)
	}
	w.clean() // no plugin, no lock
}

// TestAllKilledButThePlugin: whoever comes next ends it and holds the lock.
func TestAllKilledButThePlugin(t *testing.T) {
	w := newWorld(t)
	step, _ := w.atGate()
	for _, role := range []string{"runner", "shim", "terraform"} {
		w.kill(role, syscall.SIGKILL)
	}
	w.gone("terraform")
	if len(w.plugins()) != 1 {
		t.Fatal("the plugin is gone: this test proves nothing")
	}
	if r := w.do(step); r.Outcome != journal.OutcomeInterrupted {
		t.Fatalf("all killed: %+v\n%s", r, w.log())
	}
	w.clean()
}

// TestShimKilledBeforeTerraform: a plugin that waits for a terraform which never comes is ended.
func TestShimKilledBeforeTerraform(t *testing.T) {
	w := newWorld(t)
	s, _ := w.postgres()
	step := w.applyStep(s, w.plan(s))
	w.env = []string{envMisbehave + "=silence"}
	cmd := w.spawn("step", "--step", step)
	w.until("a plugin lives", func() bool { return len(w.plugins()) == 1 })
	w.kill("shim", syscall.SIGKILL)
	w.wait(cmd)
	w.env = nil
	if r := w.result(step); r.Outcome != journal.OutcomeInterrupted || w.lines("begin") != 0 {
		t.Fatalf("shim killed: %+v\n%s", r, w.log())
	}
	w.clean()
}

// TestPrivatePluginKilled: terraform says so, and the step was interrupted, as it is with a plugin of terraform's own.
func TestPrivatePluginKilled(t *testing.T) {
	w := newWorld(t)
	step, _ := w.atGate()
	for _, p := range w.plugins() {
		check(t, syscall.Kill(p.pid, syscall.SIGKILL))
	}
	w.open()
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeInterrupted || len(r.Diagnostics) == 0 {
		t.Fatalf("plugin killed: %+v\n%s", r, w.log())
	}
	w.clean()
}

// TestCancelReachesThePrivatePlugin: SIGINT to terraform becomes the plugin's Stop, which ends what it makes in an orderly way.
func TestCancelReachesThePrivatePlugin(t *testing.T) {
	w := newWorld(t)
	ledger := w.ledger + ".plugin"
	w.env = []string{server.EnvDelay + "=10m", plugin.EnvLedger + "=" + ledger}
	step, _ := w.atGate()
	w.open()
	w.until("the plugin makes the server", func() bool { return len(opsOf(t, ledger)) == 1 })
	w.cancel()
	w.gone("runner")
	if r := w.result(step); r.Outcome != journal.OutcomeCancelled {
		t.Fatalf("cancelled: %+v\n%s", r, w.log())
	}
	if ops := opsOf(t, ledger); len(ops) != 2 || ops[1].Phase != "end" || !strings.Contains(ops[1].Error, "context canceled") {
		t.Errorf("the plugin did %+v, want a creation that was cancelled", ops)
	}
	w.clean()
}

// opsOf reads the plugin's ledger.
func opsOf(t *testing.T, path string) []plugin.LedgerLine {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var out []plugin.LedgerLine
	for line := range bytes.Lines(text) {
		var l plugin.LedgerLine
		check(t, json.Unmarshal(line, &l))
		out = append(out, l)
	}
	return out
}

// TestCheckKilledWithItsPlugin: nobody would end the plugin of a check whose runner was killed, so it dies with it.
func TestCheckKilledWithItsPlugin(t *testing.T) {
	w := newWorld(t)
	s, _ := w.postgres()
	w.env = []string{envMisbehave + "=silence"}
	cmd := w.spawn("step", "--step", w.put(journal.StepCheck, s, nil))
	w.until("a plugin lives", func() bool { return len(w.plugins()) == 1 })
	check(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	w.until("the plugin is gone", func() bool { return len(w.plugins()) == 0 })
}
