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

// ReasonQuestion is the reason of a run that awaits not a yes but an answer: what an interrupted apply left cannot be proven.
const ReasonQuestion = "Question"

// Recovery is what was found, before a region is planned, of what its interrupted applies have left.
type Recovery struct {
	// Step is the newest apply step that was looked after: a later one needs another look. It is empty where somebody has to look again.
	Step string `json:"step"`
	// Anew says that an apply had begun to change the world.
	Anew    bool        `json:"anew,omitempty"`
	Objects []Recovered `json:"objects,omitempty"`
}

// Recovered is one object that terraform was working on when it was interrupted.
type Recovered struct {
	Address string        `json:"address"`
	Type    string        `json:"type"`
	Action  stacks.Action `json:"action"`
	// Begun is the apply step in which terraform was working on it last.
	Begun string `json:"begun,omitempty"`
	// Found is the provider's word, like "present"; Evidence says to people by what it was found.
	Found    string `json:"found"`
	Evidence string `json:"evidence"`
	// ImportID is set where the object has to be taken into the state; Untaint where it has to be untainted.
	ImportID string `json:"importId,omitempty"`
	Untaint  bool   `json:"untaint,omitempty"`
	// Question is what a person has to answer first, "" where nothing is open.
	Question string `json:"question,omitempty"`
	// Answer is what a person said.
	Answer *Answer `json:"answer,omitempty"`
}

// AnswerKind is what a person says of an object that cannot be looked up.
type AnswerKind string

// The answers: it exists (under an import ID), it does not exist, or look again (something was changed by hand).
const (
	AnswerAdopt  AnswerKind = "adopt"
	AnswerAbsent AnswerKind = "absent"
	AnswerAgain  AnswerKind = "again"
)

// Answer is the answer to one question.
type Answer struct {
	Kind AnswerKind `json:"kind"`
	// ID is the import ID of an object that exists.
	ID    string `json:"id,omitempty"`
	Actor string `json:"actor,omitempty"`
}

// Plan is what the plan has to put right first.
func (r *Recovery) Plan() stacks.Recovery {
	var out stacks.Recovery
	if r == nil {
		return out
	}
	out.Anew = r.Anew
	for _, o := range r.Objects {
		if o.ImportID != "" {
			out.Import = append(out.Import, stacks.Import{Address: o.Address, ID: o.ImportID})
		}
		if o.Untaint {
			out.Untaint = append(out.Untaint, o.Address)
		}
	}
	return out
}

// Questions lists what is open.
func (r *Recovery) Questions() (out []Recovered) {
	if r == nil {
		return nil
	}
	for _, o := range r.Objects {
		if o.Question != "" {
			out = append(out, o)
		}
	}
	return out
}

// Answered is what a person has said of what is found now, or nil. After a later apply (Step is set then) an answer is still one where that
// apply did not begin on the object and the evidence is the same: else it was said of the past.
func (r *Recovery) Answered(now Recovered) *Answer {
	if r == nil {
		return nil
	}
	for _, o := range r.Objects {
		if o.Address == now.Address {
			if r.Step != "" && (o.Begun == "" || o.Begun != now.Begun || o.Action != now.Action || o.Found != now.Found || o.Evidence != now.Evidence) {
				return nil
			}
			return o.Answer
		}
	}
	return nil
}

// Questions lists the open questions of a run, by region.
func (r Run) Questions() (out []Question) {
	for _, x := range r.Regions {
		for _, o := range x.Recovery.Questions() {
			out = append(out, Question{Region: x.Region, Recovered: o})
		}
	}
	return out
}

// Question is an open question of a region.
type Question struct {
	Region string
	Recovered
}

// AnswerInput answers the question about one object of a run. Region may be empty where the address says it.
type AnswerInput struct {
	Run, Region, Address string
	Answer
}

// Answer writes down what a person says of an object that could not be looked up. With the last answer the run plans again. ErrMoved where
// the run awaits no answer, ErrNotFound where nothing was asked about that object.
func (c *Catalog) Answer(ctx context.Context, in AnswerInput) (r Run, err error) {
	if in.Kind == AnswerAdopt && in.ID == "" {
		return Run{}, errors.New("an object that exists needs its import ID")
	}
	err = c.st.Write(ctx, func(tx *store.Tx) error {
		if r, err = c.readRun(tx, in.Run); err != nil {
			return err
		}
		if r.Phase != stacks.PhaseAwaiting || r.Reason != ReasonQuestion {
			return fmt.Errorf("run %s is %s and asks nothing: %w", r.ID, r.Phase, ErrMoved)
		}
		region, err := c.answer(tx, r, in)
		if err != nil {
			return err
		}
		detail := fmt.Sprintf("%s in %s: %s %s", in.Address, region, in.Kind, in.ID)
		audit := Audit{Actor: in.Actor, Verb: "answer", Subject: "run " + r.ID, Detail: strings.TrimSpace(detail), Namespace: r.Namespace, Name: r.Name, RunID: r.ID}
		if err := errors.Join(record(tx, audit), tx.Notify("run", r.ID), tx.Notify("database", r.Namespace+"/"+r.Name)); err != nil {
			return err
		}
		if r, err = c.readRun(tx, in.Run); err != nil || len(r.Questions()) > 0 {
			return err
		}
		r.PlanDigest, r.NeedsApproval, r.Drops = "", "", nil
		if err := c.putPhase(tx, r, Move{To: stacks.PhasePlanning, Reason: ReasonReplan, Message: "answered by " + in.Actor}); err != nil {
			return err
		}
		r, err = c.readRun(tx, in.Run)
		return err
	})
	return r, err
}

// answer writes one answer into the row of its region, and returns the region.
func (c *Catalog) answer(tx *store.Tx, r Run, in AnswerInput) (region string, err error) {
	asked := slices.DeleteFunc(r.Questions(), func(q Question) bool {
		return q.Address != in.Address || in.Region != "" && q.Region != in.Region
	})
	switch {
	case len(asked) == 0:
		return "", fmt.Errorf("a question about %s in run %s: %w", in.Address, r.ID, ErrNotFound)
	case len(asked) > 1:
		return "", fmt.Errorf("%s is asked about in %s and %s: name the region: %w", in.Address, asked[0].Region, asked[1].Region, ErrMoved)
	}
	region = asked[0].Region
	i := slices.IndexFunc(r.Regions, func(x RunRegion) bool { return x.Region == region })
	x := r.Regions[i]
	recovery := *x.Recovery
	recovery.Step, recovery.Objects = "", slices.Clone(recovery.Objects)
	for k, o := range recovery.Objects {
		if o.Address == in.Address {
			o.Question, o.Answer = "", nil
			if in.Kind != AnswerAgain {
				o.Answer = &in.Answer
			}
			recovery.Objects[k] = o
		}
	}
	x.Recovery, x.Message = &recovery, ""
	return region, c.putRegion(tx, r.ID, x)
}

// halfway lists the objects whose update was cut short.
func (r *Recovery) halfway() (out []string) {
	if r == nil {
		return nil
	}
	for _, o := range r.Objects {
		if o.Action == stacks.ActionUpdate {
			out = append(out, o.Address)
		}
	}
	return out
}
