package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

// CodeInvalidRequest is the Problem code of a request that no client of ours would send: a malformed body, an unknown field, a wrong method.
const CodeInvalidRequest = "invalid_request"

// ProblemBody is a Problem as problem+json (RFC 9457): its status, and Meridian's members beside the standard ones.
type ProblemBody struct {
	Type   string `json:"type"`
	Status int    `json:"status"`
	orchestrator.Problem
}

// GetStatus is the HTTP status.
func (p *ProblemBody) GetStatus() int { return p.Status }

// ContentType is problem+json's.
func (p *ProblemBody) ContentType(string) string { return "application/problem+json" }

// Unwrap gives the Problem to errors.As.
func (p *ProblemBody) Unwrap() error { return &p.Problem }

func init() {
	// huma makes its own errors (a body that is no JSON, too long, of another shape) through this variable; there is no other way in.
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		p := orchestrator.Problem{Code: CodeInvalidRequest, Title: message, Next: "see /openapi.json"}
		if status >= http.StatusInternalServerError {
			p.Code, p.Next = orchestrator.CodeInternal, "see the server's log"
		}
		var details []string
		for _, err := range errs {
			var d *huma.ErrorDetail
			switch {
			case err == nil:
			case errors.As(err, &d) && d.Location != "": // without the value: it may be anything
				details = append(details, d.Location+": "+d.Message)
			case errors.As(err, &d):
				details = append(details, d.Message)
			default:
				details = append(details, err.Error())
			}
		}
		p.Detail = strings.Join(details, "; ")
		return body(status, &p)
	}
}

func body(status int, p *orchestrator.Problem) *ProblemBody {
	return &ProblemBody{Type: "about:blank", Status: status, Problem: *p}
}

// retryAfter is after how many seconds clients may ask again for what was not available.
const retryAfter = "5"

// statusOf maps a Problem's code to HTTP.
func statusOf(code string) int {
	switch code {
	case orchestrator.CodeInvalidSpec:
		return http.StatusUnprocessableEntity
	case orchestrator.CodeRefused:
		return http.StatusForbidden
	case orchestrator.CodeNotFound:
		return http.StatusNotFound
	case orchestrator.CodeConflict, orchestrator.CodeStalePlan:
		return http.StatusConflict
	case orchestrator.CodeUnauthorized:
		return http.StatusUnauthorized
	case orchestrator.CodeUnavailable:
		return http.StatusServiceUnavailable
	case CodeInvalidRequest:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// problem turns a service's error into what goes over the wire. An error that is no Problem is logged, and its text stays here.
func (s *server) problem(ctx context.Context, operation string, err error) error {
	var p *orchestrator.Problem
	if errors.As(err, &p) && p.Code == orchestrator.CodeUnavailable {
		s.Logger.Warn("request to be made again", "operation", operation, "error", err)
		return huma.ErrorWithHeaders(body(statusOf(p.Code), p), http.Header{"Retry-After": {retryAfter}})
	}
	if errors.As(err, &p) {
		return body(statusOf(p.Code), p)
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		s.Logger.Warn("request ended early", "operation", operation, "error", err)
		return body(http.StatusServiceUnavailable, &orchestrator.Problem{
			Code: orchestrator.CodeInternal, Title: "the server did not finish in time", Next: "try again; what was committed stands",
		})
	}
	s.Logger.Error("request failed", "operation", operation, "error", err)
	return body(http.StatusInternalServerError, &orchestrator.Problem{
		Code: orchestrator.CodeInternal, Title: "something went wrong inside the server", Next: "see the server's log, then try again",
	})
}

// writeProblem answers outside of huma.
func writeProblem(w http.ResponseWriter, status int, p *orchestrator.Problem) {
	text, err := json.Marshal(body(status, p))
	if err != nil {
		http.Error(w, p.Title, status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may be gone
}
