package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

type keysBody struct {
	Actor string `json:"actor,omitempty" maxLength:"1024" doc:"Who asks, for the audit."`
}

type keysInput struct{ Body *keysBody }

func (in keysInput) actor() string {
	if in.Body == nil {
		return actorName("")
	}
	return actorName(in.Body.Actor)
}

func (s *server) addKeys(routes huma.API) {
	handleFor(s, routes, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/keys", Summary: "List the ring's keys, without the keys, and what each is still needed for",
	}, longTimeout, func(ctx context.Context, _ *struct{}) (*answer[orchestrator.KeysView], error) {
		return reply(s.Service.Keys(ctx))
	})
	handleFor(s, routes, huma.Operation{
		OperationID: "rotate-keys", Method: http.MethodPost, Path: "/keys/rotate", Summary: "Make a key that seals from now on, and seal all rows again",
	}, longTimeout, func(ctx context.Context, in *keysInput) (*answer[orchestrator.RotateView], error) {
		return reply(s.Service.RotateKeys(ctx, in.actor()))
	})
	handleFor(s, routes, huma.Operation{
		OperationID: "retire-keys", Method: http.MethodPost, Path: "/keys/retire", Summary: "Take the older keys out of the ring, where nothing holds one",
	}, longTimeout, func(ctx context.Context, in *keysInput) (*answer[orchestrator.RetireView], error) {
		return reply(s.Service.RetireKeys(ctx, in.actor()))
	})
}

// Keys says which keys the server's ring has and what each is still needed for.
func (c *HTTPClient) Keys(ctx context.Context) (out orchestrator.KeysView, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodGet, "/keys", nil, &out)
}

// RotateKeys makes a key that seals from now on, and seals all rows again.
func (c *HTTPClient) RotateKeys(ctx context.Context, actor string) (out orchestrator.RotateView, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodPost, "/keys/rotate", keysBody{Actor: actor}, &out)
}

// RetireKeys takes the older keys out of the server's ring, where nothing holds one.
func (c *HTTPClient) RetireKeys(ctx context.Context, actor string) (out orchestrator.RetireView, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodPost, "/keys/retire", keysBody{Actor: actor}, &out)
}
