package activities

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"meridian/persistence/catalog"
	"meridian/stacks"
)

// EndRun ends a run whose workflow was ended before it: as cancelled where a person asked for that, else as failed.
func (a *Activities) EndRun(ctx context.Context, in EndRunInput) error {
	run, err := a.Catalog.Run(ctx, in.Run)
	if err != nil {
		return err
	}
	if run.Phase.Ended() {
		return nil
	}
	m := catalog.Move{
		From: run.Phase, To: stacks.PhaseFailed, Reason: in.Reason,
		Message:     "its workflow was ended from outside; what terraform still does is recorded. Apply again to go on from there",
		Diagnostics: a.diagnostics(ctx, run),
	}
	if why := a.errorOf(ctx, run.ID, ""); why != "" { // it was not ended from outside: it could not go on
		m.Message = why
	}
	if run.Cancel {
		m.To, m.Message = stacks.PhaseCancelled, "cancelled; "+a.story(run)
	}
	if _, err = a.Catalog.MoveRun(ctx, in.Run, m); errors.Is(err, catalog.ErrMoved) {
		return nil
	}
	return err
}

// FailRegion marks a region failed whose activity gave up for good; the reason is in the run's log.
func (a *Activities) FailRegion(ctx context.Context, in FailRegionInput) error {
	message := "its workflow was ended from outside; what terraform still does is recorded"
	if !in.Ended {
		message = a.lastError(ctx, in.Run, in.Region)
	}
	return a.Catalog.UpdateRegion(ctx, in.Run, in.Region, func(r catalog.RunRegion) catalog.RunRegion {
		switch r.Phase {
		case stacks.RegionReady, stacks.RegionRemoved, stacks.RegionFailed, stacks.RegionCancelled:
			return r
		}
		r.Phase, r.Message = stacks.RegionFailed, message
		return r
	})
}

// FailLink marks a link failed whose activity gave up for good.
func (a *Activities) FailLink(ctx context.Context, in LinkInput) error {
	j, err := a.loadLink(ctx, in)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil // it was removed after all
	}
	if err != nil {
		return err
	}
	if j.run.Phase == stacks.PhaseLinking {
		return a.setLink(ctx, j, linkFailed, a.lastError(ctx, in.Run, in.Link))
	}
	return a.unlessGone(a.leaveLink(ctx, j, linkFailed, a.lastError(ctx, in.Run, in.Link)))
}

// errorOf is the newest error in a part of the run's log, "" where there is none.
func (a *Activities) errorOf(ctx context.Context, run, part string) string {
	lines, err := a.Catalog.LogLines(ctx, run, 0)
	if err != nil {
		return ""
	}
	for _, l := range slices.Backward(lines) {
		if l.Part == part && l.Level == slog.LevelError.String() {
			return l.Text
		}
	}
	return ""
}

// lastError is why a region or link gave up: the newest error in its part of the run's log, else the newest line of it. Trouble with
// writing that down is a warning there, so that a repetition says the same.
func (a *Activities) lastError(ctx context.Context, run, part string) string {
	if text := a.errorOf(ctx, run, part); text != "" {
		return text
	}
	if last, err := a.Catalog.LastLog(ctx, run, part); err == nil && last.Text != "" {
		return last.Text
	}
	return unknownError(run)
}

func unknownError(run string) string { return "it gave up; see meridian run logs " + run }
