package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

type orphanBody struct {
	ID      string `json:"id" minLength:"1" maxLength:"4096" doc:"The ID of exactly one orphan, as it is listed."`
	Approve string `json:"approve,omitempty" maxLength:"128" doc:"The digest of the import that was shown; without it an adoption is only shown."`
	Actor   string `json:"actor,omitempty" maxLength:"1024" doc:"Who asks, for the audit."`
}

func (b orphanBody) request() orchestrator.OrphanRequest {
	return orchestrator.OrphanRequest{ID: b.ID, Approve: b.Approve, Actor: actorName(b.Actor)}
}

func (s *server) addOrphans(routes huma.API) {
	handle(s, routes, huma.Operation{
		OperationID: "list-orphans", Method: http.MethodGet, Path: "/orphans", Summary: "List what carries our owner mark and is in no state",
	}, func(ctx context.Context, _ *struct{}) (*answer[[]orchestrator.OrphanView], error) {
		return reply(s.Service.Orphans(ctx))
	})

	handleFor(s, routes, huma.Operation{
		OperationID: "adopt-orphan", Method: http.MethodPost, Path: "/orphans/adopt", Summary: "Import an orphan into its stack",
	}, longTimeout, func(ctx context.Context, in *struct{ Body orphanBody }) (*answer[orchestrator.TerraformView], error) {
		return reply(s.Service.AdoptOrphan(ctx, in.Body.request()))
	})

	handleFor(s, routes, huma.Operation{
		OperationID: "remove-orphan", Method: http.MethodPost, Path: "/orphans/remove", Summary: "Remove exactly one orphan, with its data",
	}, longTimeout, func(ctx context.Context, in *struct{ Body orphanBody }) (*answer[orchestrator.OrphanView], error) {
		return reply(s.Service.RemoveOrphan(ctx, in.Body.request()))
	})
}

// Orphans lists what carries our owner mark and is in no state.
func (c *HTTPClient) Orphans(ctx context.Context) (out []orchestrator.OrphanView, err error) {
	return out, c.call(ctx, http.MethodGet, "/orphans", nil, &out)
}

// AdoptOrphan imports an orphan into its stack.
func (c *HTTPClient) AdoptOrphan(ctx context.Context, in orchestrator.OrphanRequest) (out orchestrator.TerraformView, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodPost, "/orphans/adopt", orphanBody{ID: in.ID, Approve: in.Approve, Actor: in.Actor}, &out)
}

// RemoveOrphan removes exactly one orphan.
func (c *HTTPClient) RemoveOrphan(ctx context.Context, in orchestrator.OrphanRequest) (out orchestrator.OrphanView, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodPost, "/orphans/remove", orphanBody{ID: in.ID, Actor: in.Actor}, &out)
}
