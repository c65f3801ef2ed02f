package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

// RunPath names a run in a path. It is exported because huma passes by embedded fields that are not.
type RunPath struct {
	Run string `path:"run" maxLength:"128"`
}

type approveBody struct {
	Plan  string `json:"plan" minLength:"1" maxLength:"128" doc:"The digest of the plan that is approved."`
	Actor string `json:"actor,omitempty" maxLength:"1024" doc:"Who says yes, for the audit."`
}

type answerBody struct {
	Region   string `json:"region,omitempty" maxLength:"63" doc:"Needed where several regions ask about the address."`
	Address  string `json:"address" minLength:"1" maxLength:"1024" doc:"The object that is asked about."`
	Answer   string `json:"answer" enum:"adopt,absent,again" doc:"It exists under the import ID; it does not exist; look again."`
	ImportID string `json:"importId,omitempty" maxLength:"2048"`
	Actor    string `json:"actor,omitempty" maxLength:"1024" doc:"Who says it, for the audit."`
}

func (s *server) addRuns(routes huma.API) {
	handle(s, routes, huma.Operation{
		OperationID: "list-runs", Method: http.MethodGet, Path: "/runs", Summary: "List runs, newest first",
	}, func(ctx context.Context, in *struct {
		Namespace string `query:"namespace" maxLength:"63" doc:"All namespaces where empty."`
		Name      string `query:"name" maxLength:"63" doc:"All databases where empty."`
		Limit     int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
	}) (*answer[[]orchestrator.RunView], error) {
		return reply(s.Service.Runs(ctx, in.Namespace, in.Name, in.Limit))
	})

	handle(s, routes, huma.Operation{
		OperationID: "get-run", Method: http.MethodGet, Path: "/runs/{run}", Summary: "Show a run with its progress and plan",
	}, func(ctx context.Context, in *RunPath) (*answer[orchestrator.RunView], error) {
		return reply(s.Service.Run(ctx, in.Run))
	})

	handle(s, routes, huma.Operation{
		OperationID: "approve-run", Method: http.MethodPost, Path: "/runs/{run}/approve", Summary: "Approve exactly one plan",
	}, func(ctx context.Context, in *struct {
		RunPath
		Body approveBody
	}) (*answer[orchestrator.RunView], error) {
		return reply(s.Service.Approve(ctx, in.Run, in.Body.Plan, actorName(in.Body.Actor)))
	})

	handle(s, routes, huma.Operation{
		OperationID: "cancel-run", Method: http.MethodPost, Path: "/runs/{run}/cancel", Summary: "Ask a run to stop",
		DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct {
		RunPath
		Body *actorBody
	}) (*answer[orchestrator.RunView], error) {
		return reply(s.Service.Cancel(ctx, in.Run, in.Body.actor()))
	})

	handle(s, routes, huma.Operation{
		OperationID: "answer-run", Method: http.MethodPost, Path: "/runs/{run}/answer", Summary: "Answer what a run asks about an interrupted object",
	}, func(ctx context.Context, in *struct {
		RunPath
		Body answerBody
	}) (*answer[orchestrator.RunView], error) {
		b := in.Body
		return reply(s.Service.Answer(ctx, orchestrator.AnswerRequest{
			Run: in.Run, Region: b.Region, Address: b.Address, Kind: b.Answer, ImportID: b.ImportID, Actor: actorName(b.Actor),
		}))
	})

	handle(s, routes, huma.Operation{
		OperationID: "list-run-logs", Method: http.MethodGet, Path: "/runs/{run}/logs", Summary: "List a run's log lines",
	}, func(ctx context.Context, in *struct {
		RunPath
		After int64 `query:"after" minimum:"0" doc:"Only lines with a greater sequence."`
		Limit int   `query:"limit" minimum:"1" maximum:"5000" default:"1000"`
	}) (*answer[[]orchestrator.LogLine], error) {
		return reply(s.Service.Logs(ctx, in.Run, in.After, in.Limit))
	})
}
