package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

// RegionPath names a region of a database in a path. It is exported because huma passes by embedded fields that are not.
type RegionPath struct {
	DatabasePath
	Region string `path:"region" maxLength:"63"`
}

// StatePath names a kept version of a region's state; "latest" is the newest.
type StatePath struct {
	RegionPath
	Version string `path:"version" maxLength:"64"`
}

func (p StatePath) ref() orchestrator.StateRef {
	return orchestrator.StateRef{Namespace: p.Namespace, Name: p.Name, Region: p.Region, Version: versionOf(p.Version)}
}

// latest names the newest version in a path.
const latest = "latest"

func versionOf(v string) string {
	if v == latest {
		return ""
	}
	return v
}

type restoreBody struct {
	Expect string `json:"expect" minLength:"1" maxLength:"64" doc:"The version that is the newest for who asks."`
	Actor  string `json:"actor,omitempty" maxLength:"1024" doc:"Who asks, for the audit."`
}

const statesPath = "/databases/{namespace}/{name}/regions/{region}/states"

func (s *server) addStates(routes huma.API) {
	handle(s, routes, huma.Operation{
		OperationID: "list-states", Method: http.MethodGet, Path: statesPath, Summary: "List the kept versions of a region's state, newest first",
	}, func(ctx context.Context, in *RegionPath) (*answer[[]orchestrator.StateVersionView], error) {
		return reply(s.Service.States(ctx, in.Namespace, in.Name, in.Region))
	})

	handle(s, routes, huma.Operation{
		OperationID: "get-state", Method: http.MethodGet, Path: statesPath + "/{version}", Summary: "Show a kept state, sensitive values masked",
	}, func(ctx context.Context, in *StatePath) (*answer[orchestrator.StateView], error) {
		return reply(s.Service.State(ctx, in.ref()))
	})

	handle(s, routes, huma.Operation{
		OperationID: "diff-states", Method: http.MethodGet, Path: statesPath + "/{version}/diff/{to}", Summary: "Compare two kept states, sensitive values masked",
	}, func(ctx context.Context, in *struct {
		StatePath
		To string `path:"to" maxLength:"64"`
	}) (*answer[orchestrator.StateDiffView], error) {
		return reply(s.Service.DiffStates(ctx, in.ref(), versionOf(in.To)))
	})

	handle(s, routes, huma.Operation{
		OperationID: "pull-state", Method: http.MethodPost, Path: statesPath + "/{version}/pull",
		Summary: "Hand out a whole state file with what is sensitive in it; audited",
	}, func(ctx context.Context, in *struct {
		StatePath
		Body *actorBody
	}) (*answer[orchestrator.StateFileView], error) {
		return reply(s.Service.PullState(ctx, in.ref(), in.Body.actor()))
	})

	handle(s, routes, huma.Operation{
		OperationID: "restore-state", Method: http.MethodPost, Path: statesPath + "/{version}/restore", Summary: "Make an old version the newest",
	}, func(ctx context.Context, in *struct {
		StatePath
		Body restoreBody
	}) (*answer[orchestrator.StateVersionView], error) {
		return reply(s.Service.RestoreState(ctx, orchestrator.RestoreStateRequest{StateRef: in.ref(), Expect: in.Body.Expect, Actor: actorName(in.Body.Actor)}))
	})
}
