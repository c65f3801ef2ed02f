package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

// Health is what healthz says: the server answers.
type Health struct {
	Status string `json:"status"`
}

// VersionInfo says which Meridian answers.
type VersionInfo struct {
	Version string `json:"version"`
}

// Login is a one-time URL for a browser.
type Login struct {
	URL string `json:"url"`
}

type loginBody struct {
	Next string `json:"next,omitempty" maxLength:"2048" doc:"A path on this server where the browser ends."`
}

func (s *server) addServer(routes huma.API) {
	handle(s, routes, huma.Operation{
		OperationID: "healthz", Method: http.MethodGet, Path: "/healthz", Summary: "Say that the server answers",
		Security: []map[string][]string{{}},
	}, func(context.Context, *struct{}) (*answer[Health], error) {
		return reply(Health{Status: "ok"}, nil)
	})

	handle(s, routes, huma.Operation{
		OperationID: "version", Method: http.MethodGet, Path: "/version", Summary: "Say which Meridian answers",
	}, func(context.Context, *struct{}) (*answer[VersionInfo], error) {
		return reply(VersionInfo{Version: s.Version}, nil)
	})

	handle(s, routes, huma.Operation{
		OperationID: "login", Method: http.MethodPost, Path: "/login", Summary: "Make a one-time URL for a browser",
	}, func(_ context.Context, in *struct{ Body *loginBody }) (*answer[Login], error) {
		if s.LoginURL == nil {
			return nil, &orchestrator.Problem{
				Code: orchestrator.CodeNotFound, Title: "this server has no Web UI", Next: "start it with --ui",
			}
		}
		next := "/"
		if in.Body != nil && in.Body.Next != "" {
			next = in.Body.Next
		}
		if !localPath(next) {
			return nil, &orchestrator.Problem{Code: CodeInvalidRequest, Title: "next is no path on this server"}
		}
		return reply(Login{URL: s.LoginURL(next)}, nil)
	})
}

// localPath reports whether a browser that is sent to p stays on this server: "//host" and "/\host" leave it.
func localPath(p string) bool {
	if p[0] != '/' || (len(p) > 1 && (p[1] == '/' || p[1] == '\\')) {
		return false
	}
	for _, c := range []byte(p) {
		if c < ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	return true
}
