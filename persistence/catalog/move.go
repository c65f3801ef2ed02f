package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Move is one forward step of a run's phase.
type Move struct {
	From, To      stacks.Phase
	Reason        string
	Message       string
	PlanDigest    string // set when leaving planning
	NeedsApproval string
	Drops         []stacks.Change
	Diagnostics   []stacks.Diagnostic
}

// order is the order of the phases; an end comes after all others.
var order = []stacks.Phase{stacks.PhasePending, stacks.PhasePlanning, stacks.PhaseAwaiting, stacks.PhaseUnlinking, stacks.PhaseApplying, stacks.PhaseLinking}

// forward reports whether a run may go from one phase to another.
func forward(from, to stacks.Phase) bool {
	i := slices.Index(order, from)
	if to.Ended() {
		return i >= 0
	}
	return i >= 0 && slices.Index(order, to) > i
}

// works reports whether a run in this phase changes the world.
func works(p stacks.Phase) bool {
	return p == stacks.PhaseUnlinking || p == stacks.PhaseApplying || p == stacks.PhaseLinking
}

// MoveRun moves a run's phase by compare-and-set, forward only; ErrMoved. An end clears the database's active_run and sets its phase.
//
// A run that was cancelled moves only to an end, and no run starts to work without the yes that it needs, or while another is the
// active one: the error is then ErrMoved and ErrRefused at once, for the row says something that the caller has not seen.
func (c *Catalog) MoveRun(ctx context.Context, id string, m Move) (run Run, err error) {
	if !forward(m.From, m.To) {
		return Run{}, fmt.Errorf("run %s cannot go from %q to %q", id, m.From, m.To)
	}
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		r, err := c.readRun(tx, id)
		if err != nil {
			return err
		}
		if r.Phase != m.From {
			return fmt.Errorf("run %s is %s, not %s: %w", id, r.Phase, m.From, ErrMoved)
		}
		if m.From == stacks.PhasePlanning {
			r.PlanDigest, r.NeedsApproval, r.Drops = m.PlanDigest, m.NeedsApproval, m.Drops
		}
		if m.From == stacks.PhasePlanning && m.To == stacks.PhaseAwaiting {
			why, err := c.carry(tx, r)
			if err != nil {
				return err
			}
			if why != "" && m.Message == "" {
				m.Message = "the yes to the plan before does not cover this one: " + why
			}
		}
		if m.To.Ended() {
			if err := c.end(tx, r, m); err != nil {
				return err
			}
		} else if err := c.advance(tx, r, m); err != nil {
			return err
		}
		run, err = c.readRun(tx, id)
		return err
	})
	return run, err
}

// advance moves a run to a phase that is no end.
func (c *Catalog) advance(tx *store.Tx, r Run, m Move) error {
	if r.Cancel {
		return fmt.Errorf("run %s was cancelled: %w: %w", r.ID, ErrMoved, ErrRefused)
	}
	d, err := c.databaseOf(tx, r)
	if err != nil {
		return err
	}
	if r.Kind != stacks.RunCheck && works(m.To) && !works(m.From) {
		if err := mayWork(tx, r, d); err != nil {
			return fmt.Errorf("%w: %w", ErrMoved, err)
		}
		phase := DatabaseChanging
		switch {
		case r.Kind == stacks.RunDestroy:
			phase = DatabaseDestroying
		case d.Applied == 0:
			phase = DatabaseCreating
		}
		if err := setDatabase(tx, d, "phase = ?, message = ''", phase); err != nil {
			return err
		}
	}
	return c.putPhase(tx, r, m)
}

// mayWork answers whether a run is the active one and has the yes that it needs; else ErrRefused with the reason.
func mayWork(tx *store.Tx, r Run, d Database) error {
	if err := mayApply(tx); err != nil {
		return err
	}
	if d.ActiveRun != r.ID {
		return fmt.Errorf("run %s is not the active one (%q is): %w", r.ID, d.ActiveRun, ErrRefused)
	}
	ok, err := covered(tx, r)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("run %s has no yes for plan %s: %w", r.ID, r.PlanDigest, ErrRefused)
	}
	return nil
}

// covered reports whether a yes covers the run's digest. One that awaits an answer has no plan yet.
func covered(tx *store.Tx, r Run) (ok bool, err error) {
	if r.Phase == stacks.PhaseAwaiting && r.Reason == ReasonQuestion {
		return false, nil
	}
	if !NeedsYes(r) {
		return true, nil
	}
	if r.PlanDigest == "" {
		return false, nil
	}
	err = tx.QueryRow("SELECT EXISTS (SELECT 1 FROM approvals WHERE run = ? AND digest = ? AND dropped = 0)", r.ID, r.PlanDigest).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("approvals of run %s: %w", r.ID, err)
	}
	return ok, nil
}

// Approved reports whether a yes covers the run's digest: an approval of it, or no need for one (NeedsYes).
func (c *Catalog) Approved(ctx context.Context, run string) (ok bool, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		r, err := c.readRun(tx, run)
		if err != nil {
			return err
		}
		ok, err = covered(tx, r)
		return err
	})
	return ok, err
}

// end moves a run to an end: it gives the database free, and says of the database what the run left.
func (c *Catalog) end(tx *store.Tx, r Run, m Move) error {
	if err := c.putPhase(tx, r, m); err != nil {
		return err
	}
	if r.Kind == stacks.RunCheck {
		return nil
	}
	d, err := c.databaseOf(tx, r)
	if err != nil {
		return err
	}
	active := d.ActiveRun
	if active == r.ID {
		active = ""
	}
	phase, message := afterRun(d, r, m)
	applied := d.Applied
	if m.To == stacks.PhaseDone && r.Kind == stacks.RunApply {
		applied = max(applied, r.Revision)
		if _, err := tx.Exec("UPDATE revisions SET replace_used = 1 WHERE incarnation = ? AND number = ?", r.Incarnation, r.Revision); err != nil {
			return fmt.Errorf("revision %d of %s: %w", r.Revision, r.Incarnation, err)
		}
	}
	return setDatabase(tx, d, "active_run = ?, applied = ?, phase = ?, message = ?", active, applied, phase, message)
}

// afterRun is what a database is to people after a run has ended. It is pure. A run that was planned again has worked before, though its
// phase does not say so any more: the database's does.
func afterRun(d Database, r Run, m Move) (phase, message string) {
	mine := d.ActiveRun == r.ID || d.ActiveRun == "" // one that waits behind another has done nothing
	worked := works(r.Phase) || mine && (d.Phase == DatabaseChanging || d.Phase == DatabaseDestroying)
	switch {
	case d.DestroyedAt != nil, m.To == stacks.PhaseDone && r.Kind == stacks.RunDestroy, m.To == stacks.PhaseSuperseded && !worked:
		return d.Phase, d.Message
	case m.To == stacks.PhaseDone:
		return DatabaseReady, ""
	}
	switch m.To {
	case stacks.PhaseFailed:
		message = fmt.Sprintf("run %s failed: %s", r.ID, m.Reason)
	case stacks.PhaseSuperseded:
		message = fmt.Sprintf("run %s was superseded in the middle of its work", r.ID)
	default:
		message = fmt.Sprintf("run %s was cancelled", r.ID)
	}
	switch {
	case d.Applied == 0:
		return DatabaseFailed, message
	case worked:
		return DatabaseDegraded, message
	}
	return d.Phase, message
}

// putPhase writes a run's phase and what goes with it.
func (c *Catalog) putPhase(tx *store.Tx, r Run, m Move) error {
	text := runText{Message: m.Message, Drops: r.Drops, Diagnostics: m.Diagnostics, Approved: r.Approved}
	if text.Diagnostics == nil {
		text.Diagnostics = r.Diagnostics
	}
	slices.SortStableFunc(text.Diagnostics, func(a, b stacks.Diagnostic) int {
		return strings.Compare(a.Field+a.Address, b.Field+b.Address)
	})
	sealed, err := c.sealJSON(text, rowContext("runs", r.ID))
	if err != nil {
		return err
	}
	at := now()
	var ended any
	if m.To.Ended() {
		ended = at.UnixMicro()
	}
	_, err = tx.Exec(`UPDATE runs SET phase = ?, reason = ?, plan_digest = ?, needs_approval = ?, moved_at = ?, ended_at = ?, sealed = ? WHERE id = ?`,
		m.To, m.Reason, r.PlanDigest, r.NeedsApproval, at.UnixMicro(), ended, sealed, r.ID)
	if err != nil {
		return fmt.Errorf("move run %s: %w", r.ID, err)
	}
	return tx.Notify("run", r.ID)
}

// databaseOf reads the database of a run; that of a check of an unknown database is empty.
func (c *Catalog) databaseOf(tx *store.Tx, r Run) (Database, error) {
	d, err := incarnationOf(tx, r.Incarnation)
	if errors.Is(err, ErrNotFound) && r.Kind == stacks.RunCheck {
		return Database{}, nil
	}
	return d, err
}

// ReasonReplan is the reason of a run that is planning again, so that some of its regions may be settled already.
const ReasonReplan = "Replan"

// Replan moves a run from awaiting or applying back to planning because an artifact went stale, counts the plan of the region and of
// those that are pending with it, and drops the approvals: they were of another plan, which is kept, for its yes may cover the new one (carry.go). A yes
// given with the submission stays, for it is of no plan. It and an answer are the only moves that are not forward.
func (c *Catalog) Replan(ctx context.Context, id string, region string, reason string) (run Run, err error) {
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		r, err := c.readRun(tx, id)
		if err != nil {
			return err
		}
		if r.Phase != stacks.PhaseAwaiting && r.Phase != stacks.PhaseApplying {
			return fmt.Errorf("run %s is %s, so it cannot be planned again: %w", id, r.Phase, ErrMoved)
		}
		if r.Cancel {
			return fmt.Errorf("run %s was cancelled: %w: %w", id, ErrMoved, ErrRefused)
		}
		if !slices.ContainsFunc(r.Regions, func(x RunRegion) bool { return x.Region == region }) {
			return fmt.Errorf("region %s of run %s: %w", region, id, ErrNotFound)
		}
		approved, err := approvedPlan(tx, r)
		if err != nil {
			return err
		}
		if approved != nil {
			r.Approved = approved
		}
		if r.Approved != nil {
			r.Approved.remember(r.Regions)
		}
		for _, x := range r.Regions {
			if x.Region == region {
				x.Message = reason
			} else if x.Phase != stacks.RegionPending {
				continue
			}
			x.Plans++
			x.Phase, x.Changes, x.Second, x.MovedAt = stacks.RegionPending, nil, nil, now()
			x.StackDigest, x.Artifact, x.ArtifactDigest, x.StateSerial, x.PlanStep, x.ApplyStep = "", "", "", 0, "", ""
			if err := c.putRegion(tx, id, x); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("UPDATE approvals SET dropped = 1 WHERE run = ?", id); err != nil {
			return fmt.Errorf("drop the approvals of run %s: %w", id, err)
		}
		r.PlanDigest, r.NeedsApproval, r.Drops = "", "", nil
		if err := c.putPhase(tx, r, Move{To: stacks.PhasePlanning, Reason: ReasonReplan, Message: reason}); err != nil {
			return err
		}
		run, err = c.readRun(tx, id)
		return err
	})
	return run, err
}
