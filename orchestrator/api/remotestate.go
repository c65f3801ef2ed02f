package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"meridian/orchestrator"
)

// remoteStateEnd ends the paths at which terraform's backend "http" reads a region's outputs.
const remoteStateEnd = "/remote-state"

// addRemoteState serves each region's outputs as a state without resources, for `data "terraform_remote_state"` of other stacks. It is
// read-only: terraform's LOCK, UNLOCK, POST and DELETE are methods that the path does not take.
func (s *server) addRemoteState(r chi.Router) {
	r.Get(Prefix+"/databases/{namespace}/{name}/regions/{region}"+remoteStateEnd, func(w http.ResponseWriter, r *http.Request) {
		text, err := s.Service.RemoteState(r.Context(), chi.URLParam(r, "namespace"), chi.URLParam(r, "name"), chi.URLParam(r, "region"))
		if err != nil {
			var p *ProblemBody
			if errors.As(s.problem(r.Context(), "remote-state", err), &p) {
				writeProblem(w, p.Status, &p.Problem)
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(text) // the client may be gone
	})
}

// readOnlyState tells a writer what this path is for.
func readOnlyState(r *http.Request) (*orchestrator.Problem, bool) {
	if !strings.HasSuffix(r.URL.Path, remoteStateEnd) {
		return nil, false
	}
	return &orchestrator.Problem{
		Code: CodeInvalidRequest, Title: "a region's state is read-only here: " + r.Method + " is refused",
		Next: `read it with data "terraform_remote_state"; change the region with meridian apply`,
	}, true
}

// basic returns a check whether a request carries the token as a basic password: all that terraform's backend "http" can send.
func basic(token string) func(*http.Request) bool {
	want := sha256.Sum256([]byte(token))
	return func(r *http.Request) bool {
		_, password, ok := r.BasicAuth()
		got := sha256.Sum256([]byte(password))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && ok && token != "" && strings.HasSuffix(r.URL.Path, remoteStateEnd)
	}
}
