package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/persistence/journal"
	"meridian/stacks"
)

// workerProcess is `meridian worker` as a process of its own.
type workerProcess struct {
	site  *site
	cmd   *exec.Cmd
	log   string
	ready chan struct{}
	ended chan struct{}
	err   error
}

// work starts a real worker on the site. It waits for nothing: joins tells when it takes part.
func (s *site) work(args []string, change ...func(*exec.Cmd)) *workerProcess {
	s.t.Helper()
	w := &workerProcess{
		site: s, ready: make(chan struct{}), ended: make(chan struct{}),
		log: filepath.Join(s.aside(), fmt.Sprintf("worker-%d.log", time.Now().UnixNano())),
	}
	w.cmd = command(append([]string{"worker", "--data", s.data, "--log-level", "debug"}, args...)...)
	for _, f := range change {
		f(w.cmd)
	}
	log, err := os.OpenFile(w.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	w.cmd.Stderr = log
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		s.t.Fatalf("starting a worker: %v", err)
	}
	go func() {
		defer close(w.ended)
		lines := bufio.NewScanner(out)
		for first := true; lines.Scan(); first = false {
			if first {
				close(w.ready)
			}
		}
		w.err = w.cmd.Wait()
	}()
	s.t.Cleanup(w.kill)
	return w
}

// joins waits until the worker takes part in the server's work.
func (w *workerProcess) joins() *workerProcess {
	w.site.t.Helper()
	select {
	case <-w.ready:
	case <-w.ended:
		w.site.t.Fatalf("the worker ended: %v\n%s", w.err, w.logTail())
	case <-time.After(patience):
		w.site.t.Fatalf("the worker does not join\n%s", w.logTail())
	}
	return w
}

// kill ends the worker as the kernel would.
func (w *workerProcess) kill() {
	_ = w.cmd.Process.Kill()
	<-w.ended
}

// tell asks the worker to stop.
func (w *workerProcess) tell() {
	w.site.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.site.t.Fatal(err)
	}
}

// leaves wants the worker to end cleanly, and returns how long that took.
func (w *workerProcess) leaves() time.Duration {
	w.site.t.Helper()
	began := time.Now()
	select {
	case <-w.ended:
	case <-time.After(patience):
		w.site.t.Fatalf("the worker does not stop\n%s", w.logTail())
	}
	if w.err != nil {
		w.site.t.Errorf("the worker stopped with %v\n%s", w.err, w.logTail())
	}
	return time.Since(began)
}

func (w *workerProcess) logTail() string {
	text, err := os.ReadFile(w.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-8000):])
}

// withoutWorker leaves all work to worker processes.
func withoutWorker(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--no-worker") }

// submitted submits a spec with a yes over HTTP and returns its one run.
func (srv *server) submitted(spec string) orchestrator.RunView {
	srv.site.t.Helper()
	return srv.submitting(spec, true)
}

// asked submits a spec without a yes.
func (srv *server) asked(spec string) orchestrator.RunView {
	srv.site.t.Helper()
	return srv.submitting(spec, false)
}

func (srv *server) submitting(spec string, yes bool) orchestrator.RunView {
	srv.site.t.Helper()
	res, err := srv.Submit(context.Background(), orchestrator.SubmitRequest{
		Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Yes: yes, Actor: "test",
	})
	if err != nil {
		srv.site.t.Fatalf("submit: %v", err)
	}
	return res.Runs[0]
}

// beingMade waits until so many regions are being made.
func (s *site) beingMade(n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d regions are being made", n), func() error {
		if got := len(s.ledger()); got < n {
			return errNotYet
		}
		return nil
	})
}

// TestWorkersShareTheWork has all work done by worker processes beside a server: one is started before there is a server, one is killed
// and one told to leave while terraform runs, the server is killed and another one started. The run moves on, on other workers each time,
// and nothing is done twice.
func TestWorkersShareTheWork(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	first := s.work(nil, slowly) // waits
	srv := s.serve(slowly, withoutWorker)
	m := s.look()
	first.joins()
	run := srv.submitted(orders("orders")).ID
	s.beingMade(2)
	before := s.terraforms("apply")
	if len(before) != 2 {
		t.Fatalf("terraforms: %+v, want one per region", before)
	}

	first.kill()
	second := s.work(nil, slowly).joins()
	third := s.work(nil, slowly).joins() // a second one beside it is fine
	attached := func(what string) {
		t.Helper()
		s.eventually(what, func() error {
			for _, r := range []string{"ankara", "istanbul"} {
				res, err := m.journal.Result(context.Background(), run+"/"+r+"/apply.1")
				if err == nil && res.Outcome == journal.OutcomeApplied {
					return nil
				}
			}
			v, err := srv.Run(context.Background(), run)
			if err != nil {
				return err
			}
			if v.Phase != stacks.PhaseApplying {
				return nil
			}
			return errNotYet
		})
	}
	second.tell()
	if took := second.leaves(); took > 5*time.Second {
		t.Errorf("the worker took %s to leave, want at most 5 s", took)
	}
	attached("terraform ends")
	srv.kill()
	srv = s.serve(withoutWorker)
	srv.wantDone(run)
	m.atRest()
	s.wantOps(map[string]string{"ankara": made, "istanbul": made})
	m.wantFences(2)
	m.wantSlots("ankara", 1)

	// Its server away for good, a worker still ends when told to.
	srv.stop()
	third.tell()
	if took := third.leaves(); took > 5*time.Second {
		t.Errorf("without a server the worker took %s to leave, want at most 5 s", took)
	}
}

// TestDrain tells workers to stop while terraform runs: one that waits ends after the steps that are attached to it and not before, one
// whose time is over ends without them; neither touches terraform.
func TestDrain(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	srv := s.serve(withoutWorker)
	m := s.look()
	waiting := s.work([]string{"--drain", "wait"}, slowly).joins()
	run := srv.submitted(orders("orders")).ID
	s.beingMade(2)
	waiting.tell()
	other := s.work(nil).joins()
	waiting.leaves()
	for _, region := range []string{"ankara", "istanbul"} {
		res, err := m.journal.Result(t.Context(), run+"/"+region+"/apply.1")
		if err != nil || res.Outcome != journal.OutcomeApplied {
			t.Errorf("the worker has left, and %s is %+v, %v", region, res, err)
		}
	}
	srv.wantDone(run)
	other.tell()
	other.leaves()

	impatient := s.work([]string{"--drain", "wait", "--drain-timeout", "100ms"}, slowly).joins()
	again := srv.submitted(orders("second")).ID
	s.beingMade(6) // two servers of orders, begun and ended, and two more begun
	impatient.tell()
	if took := impatient.leaves(); took > 5*time.Second {
		t.Errorf("the worker took %s to leave after its time was over", took)
	}
	if n := len(s.terraforms("apply")); n == 0 {
		t.Errorf("no terraform runs after the worker left")
	}
	s.work(nil).joins()
	srv.wantDone(again)
	srv.stop()
}
