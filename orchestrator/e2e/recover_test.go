package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/providers/local"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
)

// beside gives each region so many directories beside its server, and holds each creation up.
func beside(n int, delay time.Duration) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", local.EnvDirectories, n), pgserver.EnvDelay+"="+delay.String())
	}
}

// submitApproved submits a spec without a yes, waits for its plan and approves exactly that.
func (srv *server) submitApproved(spec string) string {
	srv.site.t.Helper()
	ctx := srv.site.t.Context()
	res, err := srv.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Actor: "test"})
	if err != nil {
		srv.site.t.Fatal(err)
	}
	v := srv.wait(res.Runs[0].ID)
	if v.Phase != stacks.PhaseAwaiting {
		srv.site.t.Fatalf("run is %s: %s\n%s", v.Phase, v.Message, logOf(srv, v.ID))
	}
	if _, err := srv.Approve(ctx, v.ID, v.PlanDigest, "ada"); err != nil {
		srv.site.t.Fatal(err)
	}
	return v.ID
}

// inFlight waits until the plugin is in the middle of so many changes of a kind.
func (s *site) inFlight(op string, n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d times %s is begun", n, op), func() error {
		open := 0
		for _, l := range s.ledger() {
			switch {
			case l.Op == op && l.Phase == "begin":
				open++
			case l.Op == op && l.Phase == "end":
				open--
			}
		}
		if open < n {
			return errNotYet
		}
		return nil
	})
}

// killAll kills the processes of a site whose program and verb begin with one of the words.
func (s *site) killAll(words ...string) (killed int) {
	for _, pid := range s.processes() {
		p, ok := readProc(pid)
		program, rest, _ := strings.Cut(p.args, " ")
		does := filepath.Base(program) + " " + rest
		if ok && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(does, w) }) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// finishedOnce wants nothing to have been made a second time after its making had come to its end, but what a person has removed.
func (s *site) finishedOnce(removed ...string) {
	s.t.Helper()
	done := map[string]bool{}
	for _, l := range s.ledger() {
		if l.Op != "create" {
			if l.Op == "delete" && l.Phase == "end" {
				delete(done, l.DataDir)
			}
			continue
		}
		if l.Phase == "begin" && done[l.DataDir] && !slices.Contains(removed, l.DataDir) {
			s.t.Errorf("%s was made again at %s", l.DataDir, l.At)
		}
		if l.Phase == "end" && l.Error == "" {
			done[l.DataDir] = true
		}
	}
}

// TestKilledInACreate kills what makes a database, in the middle of it: the run finds what is there, takes it over and goes on under the one
// yes that it was given, without making anything twice.
func TestKilledInACreate(t *testing.T) {
	ledgerFile()
	for name, words := range map[string][]string{
		"terraform":  {"terraform apply"},
		"the plugin": {"terraform-provider-localdb"},
		"all of it":  {"meridian-runner", "terraform apply", "terraform-provider-localdb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			srv := s.serve(beside(6, 1500*time.Millisecond))
			m := s.look()
			run := srv.submitApproved(orders("orders"))
			s.inFlight("create", 3)
			if s.killAll(words...) == 0 {
				t.Fatal("nothing to kill")
			}
			v := srv.wantDone(run)
			if len(v.Links) != 1 || v.Links[0].Phase != "verified" {
				t.Errorf("links = %+v", v.Links)
			}
			s.finishedOnce()
			if n := len(m.servers()); n != 2 {
				t.Errorf("%d servers run, want 2", n)
			}
			audits, err := m.catalog.Audits(t.Context(), stacks.DefaultNamespace, "orders", 0)
			if err != nil {
				t.Fatal(err)
			}
			said := map[string]int{}
			for _, a := range audits {
				said[a.Verb]++
			}
			if said["approve"] != 1 || said["carry-over"] == 0 {
				t.Errorf("audit %v, want one approval that was carried over", said)
			}
			log := logOf(srv, run)
			if !strings.Contains(log, "was interrupted (create): present") && !strings.Contains(log, "was interrupted (create): absent") {
				t.Errorf("the log does not tell what was found:\n%s", log)
			}
			t.Logf("%v, %d lines of the ledger", said, len(s.ledger()))
			if v := srv.submitApprovedOrDone(orders("orders")); v.HasChanges {
				t.Errorf("a second apply changes %+v", v.Changes)
			}
		})
	}
}

// submitApprovedOrDone submits a spec without a yes and returns its run where it needs none.
func (srv *server) submitApprovedOrDone(spec string) orchestrator.RunView {
	srv.site.t.Helper()
	res, err := srv.Submit(srv.site.t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Actor: "test"})
	if err != nil {
		srv.site.t.Fatal(err)
	}
	return srv.wait(res.Runs[0].ID)
}
