package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"meridian/orchestrator"
)

// writeTimeout bounds one write to an event stream: a client that does not read is let go, it can come back.
const writeTimeout = 10 * time.Second

// addWatch registers the event stream of a run: the whole RunView per event, comments as heartbeats, the end of the stream when the run has ended.
func (s *server) addWatch(routes huma.API) {
	view := routes.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[orchestrator.RunView](), true, "RunView")
	op := huma.Operation{
		OperationID: "watch-run", Method: http.MethodGet, Path: Prefix + "/runs/{run}/watch",
		Summary:     "Watch a run",
		Description: "Server-sent events named `run`; each holds the whole RunView. The stream ends when the run has ended.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The run, now and whenever it changes", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: view}},
		}},
	}
	huma.Register(routes, op, func(ctx context.Context, in *RunPath) (*huma.StreamResponse, error) {
		watching, cancel := context.WithCancel(ctx)
		views, err := s.Service.WatchRun(watching, in.Run)
		if err != nil {
			cancel()
			return nil, s.problem(ctx, op.OperationID, err)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer cancel()
			_, w := humachi.Unwrap(hc)
			hc.SetHeader("Content-Type", "text/event-stream")
			hc.SetHeader("Cache-Control", "no-store")
			hc.SetHeader("X-Accel-Buffering", "no")
			hc.SetStatus(http.StatusOK)
			if err := s.stream(watching, w, views); err != nil {
				s.Logger.Debug("watcher went away", "run", in.Run, "error", err)
			}
		}}, nil
	})
}

// stream writes views until there are no more, ctx ends or the client stops reading.
func (s *server) stream(ctx context.Context, w http.ResponseWriter, views <-chan orchestrator.RunView) error {
	rc := http.NewResponseController(w)
	beat := time.NewTicker(s.Heartbeat)
	defer beat.Stop()
	for id := 1; ; {
		var event string
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			event = ": beat\n\n"
		case v, ok := <-views:
			if !ok {
				return nil
			}
			data, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("encode run: %w", err)
			}
			event = fmt.Sprintf("id: %d\nevent: run\ndata: %s\n\n", id, data)
			id++
		}
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // unsupported only by recorders in tests
		if _, err := io.WriteString(w, event); err != nil {
			return err
		}
		if err := rc.Flush(); err != nil {
			return err
		}
	}
}
