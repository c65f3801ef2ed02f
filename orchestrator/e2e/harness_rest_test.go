package e2e

import (
	"context"
	"fmt"
	"strings"

	"meridian/orchestrator"
	"meridian/stacks"
)

// runs is where a story sees what becomes of a run: a Meridian in this process, or a server.
type runs interface {
	Run(ctx context.Context, run string) (orchestrator.RunView, error)
	Logs(ctx context.Context, run string, after int64, limit int) ([]orchestrator.LogLine, error)
}

// rest waits until a run has ended or awaits a yes.
func (s *site) rest(in runs, run string) orchestrator.RunView {
	s.t.Helper()
	var v orchestrator.RunView
	s.eventually("run "+run+" comes to rest", func() (err error) {
		if v, err = in.Run(context.Background(), run); err != nil {
			return err
		}
		if v.Phase.Ended() || v.Phase == stacks.PhaseAwaiting && !v.Approved {
			return nil
		}
		return fmt.Errorf("it is %s: %+v", v.Phase, v.Regions)
	})
	return v
}

// wantDone waits for the end of a run and wants it done.
func (s *site) wantDone(in runs, run string) orchestrator.RunView {
	s.t.Helper()
	v := s.rest(in, run)
	if v.Phase != stacks.PhaseDone {
		s.t.Fatalf("run %s is %s: %s\n%+v\n%s", run, v.Phase, v.Message, v.Diagnostics, logOf(in, run))
	}
	return v
}

// logOf is the whole log of a run, as a person reads it.
func logOf(in runs, run string) string {
	lines, err := in.Logs(context.Background(), run, 0, 5000)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%s %s %s %s\n", l.At.Format("15:04:05.000"), l.Level, l.Region, l.Text)
	}
	return b.String()
}
