package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

type fsckBody struct {
	Repair bool   `json:"repair,omitempty" doc:"Do what is proven safe."`
	Accept string `json:"accept,omitempty" maxLength:"128" doc:"The digest of findings that a person has read: a read-only store is applied to again although they are left."`
	Actor  string `json:"actor,omitempty" maxLength:"1024" doc:"Who asks, for the audit."`
}

func (s *server) addFsck(routes huma.API) {
	handleFor(s, routes, huma.Operation{
		OperationID: "fsck", Method: http.MethodPost, Path: "/fsck", Summary: "Look whether catalog, journal, Temporal and the world agree",
	}, longTimeout, func(ctx context.Context, in *struct{ Body *fsckBody }) (*answer[orchestrator.FsckView], error) {
		b := in.Body
		if b == nil {
			b = &fsckBody{}
		}
		return reply(s.Service.Fsck(ctx, orchestrator.FsckRequest{Repair: b.Repair, Accept: b.Accept, Actor: actorName(b.Actor)}))
	})
}

// Fsck looks whether catalog, journal, Temporal and the world agree.
func (c *HTTPClient) Fsck(ctx context.Context, in orchestrator.FsckRequest) (out orchestrator.FsckView, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodPost, "/fsck", fsckBody{Repair: in.Repair, Accept: in.Accept, Actor: in.Actor}, &out)
}
