package apitest

import (
	"context"

	"meridian/orchestrator"
	"meridian/stacks"
)

// AskedAddress is the object that a run of the database Asking asks about.
const AskedAddress = "module.database.localdb_server.this"

func (f *Fake) ask(r *run) {
	f.store(r) // the database is there from its submission on, and nothing of it was applied
	db := f.databases[r.spec.Metadata.Namespace+"/"+r.spec.Metadata.Name]
	db.Phase, db.Applied = "pending", 0
	f.step(r, func(v *orchestrator.RunView) {
		v.Phase, v.Reason, v.Message = stacks.PhaseAwaiting, "Question", "an apply was interrupted, and it cannot be proven whether it exists"
		v.Questions = []orchestrator.QuestionView{{
			Region: v.Regions[0].Region, Address: AskedAddress, Type: "localdb_server", Question: v.Message, Evidence: "its directory cannot be read",
		}}
	})
}

// Answer plans a run that asked, and applies it.
func (f *Fake) Answer(_ context.Context, in orchestrator.AnswerRequest) (orchestrator.RunView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Actors = append(f.Actors, "answer "+in.Kind+" "+in.ImportID+" "+in.Actor)
	r, err := f.find(in.Run)
	if err != nil {
		return orchestrator.RunView{}, err
	}
	if asked := r.last().Questions; len(asked) == 0 || asked[0].Address != in.Address {
		return r.last(), &orchestrator.Problem{Code: orchestrator.CodeNotFound, Title: "nothing is asked about " + in.Address}
	}
	f.step(r, func(v *orchestrator.RunView) { v.Reason, v.Message, v.Questions = "", "", nil })
	f.plan(r, true)
	f.apply(r)
	return r.last(), nil
}
