package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"meridian/orchestrator"
)

func joinState(ref orchestrator.StateRef, more ...string) string {
	return join(append([]string{"databases", ref.Namespace, ref.Name, "regions", ref.Region, "states", cmp.Or(ref.Version, latest)}, more...)...)
}

// States lists the kept versions of a region's state, newest first.
func (c *HTTPClient) States(ctx context.Context, namespace, name, region string) (out []orchestrator.StateVersionView, err error) {
	return out, c.call(ctx, http.MethodGet, join("databases", namespace, name, "regions", region, "states"), nil, &out)
}

// State shows a kept state.
func (c *HTTPClient) State(ctx context.Context, ref orchestrator.StateRef) (out orchestrator.StateView, err error) {
	return out, c.call(ctx, http.MethodGet, joinState(ref), nil, &out)
}

// DiffStates compares two kept states.
func (c *HTTPClient) DiffStates(ctx context.Context, from orchestrator.StateRef, to string) (out orchestrator.StateDiffView, err error) {
	return out, c.call(ctx, http.MethodGet, joinState(from, "diff", cmp.Or(to, latest)), nil, &out)
}

// PullState hands out a whole state file.
func (c *HTTPClient) PullState(ctx context.Context, ref orchestrator.StateRef, actor string) (out orchestrator.StateFileView, err error) {
	return out, c.call(ctx, http.MethodPost, joinState(ref, "pull"), actorBody{Actor: actor}, &out)
}

// RemoteState is a state with a region's outputs and nothing else.
func (c *HTTPClient) RemoteState(ctx context.Context, namespace, name, region string) ([]byte, error) {
	var text json.RawMessage
	err := c.call(ctx, http.MethodGet, join("databases", namespace, name, "regions", region)+remoteStateEnd, nil, &text)
	return text, err
}

// RestoreState makes an old version the newest.
func (c *HTTPClient) RestoreState(ctx context.Context, in orchestrator.RestoreStateRequest) (out orchestrator.StateVersionView, err error) {
	return out, c.call(ctx, http.MethodPost, joinState(in.StateRef, "restore"), restoreBody{Expect: in.Expect, Actor: in.Actor}, &out)
}
