package orchestrator

import (
	"context"
	"errors"

	"meridian/persistence/catalog"
)

// Answer answers what a run asks about an object that it cannot look up; with the last answer it plans.
func (c *Client) Answer(ctx context.Context, in AnswerRequest) (RunView, error) {
	kind := catalog.AnswerKind(in.Kind)
	switch {
	case kind == catalog.AnswerAdopt && in.ImportID == "":
		return RunView{}, &Problem{Code: CodeRefused, Title: "an object that exists needs its import ID", Next: "name it: modules/README.md says what it is for each type"}
	case kind != catalog.AnswerAdopt && kind != catalog.AnswerAbsent && kind != catalog.AnswerAgain:
		return RunView{}, &Problem{Code: CodeRefused, Title: "no such answer: " + in.Kind, Next: "answer adopt, absent or again"}
	}
	r, err := c.catalog.Answer(ctx, catalog.AnswerInput{
		Run: in.Run, Region: in.Region, Address: in.Address, Answer: catalog.Answer{Kind: kind, ID: in.ImportID, Actor: in.Actor},
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return RunView{}, &Problem{Code: CodeNotFound, Title: "nothing is asked about " + in.Address, Detail: err.Error(), Next: "see what the run asks: meridian run watch " + in.Run}
	}
	if err != nil {
		return RunView{}, c.problem(err, "run "+in.Run)
	}
	c.wake(ctx, r)
	return c.view(ctx, r)
}

// questions are what a run asks, as people see it.
func questions(r catalog.Run) (out []QuestionView) {
	if r.Reason != catalog.ReasonQuestion {
		return nil
	}
	for _, q := range r.Questions() {
		out = append(out, QuestionView{Region: q.Region, Address: q.Address, Type: q.Type, Question: q.Question, Evidence: q.Evidence})
	}
	return out
}
