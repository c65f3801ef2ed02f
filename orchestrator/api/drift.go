package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

// newestCheck stands in a path for the newest check that saw something.
const newestCheck = "newest"

type driftRuleBody struct {
	Verb   string   `json:"verb" enum:"ignore,accept,watch" doc:"No drift whatever the value; no drift as long as the value is the present one; drift again."`
	Keys   []string `json:"keys" minItems:"1" maxItems:"200" doc:"Keys as a check shows them; with ignore and watch also patterns, where * stands for anything."`
	Reason string   `json:"reason,omitempty" maxLength:"1024"`
	Actor  string   `json:"actor,omitempty" maxLength:"1024" doc:"Who says it, for the audit."`
}

type remediateBody struct {
	Yes   bool   `json:"yes,omitempty" doc:"Approve in advance what loses no data."`
	Actor string `json:"actor,omitempty" maxLength:"1024" doc:"Who asks, for the audit."`
}

func (s *server) addDrift(routes huma.API) {
	const path = "/databases/{namespace}/{name}/drift"
	handle(s, routes, huma.Operation{
		OperationID: "get-drift", Method: http.MethodGet, Path: path, Summary: "List a database's checks for drift, newest first, and what is ignored",
	}, func(ctx context.Context, in *struct {
		DatabasePath
		Limit int `query:"limit" minimum:"1" maximum:"1000" default:"20"`
	}) (*answer[orchestrator.DriftView], error) {
		return reply(s.Service.Drift(ctx, in.Namespace, in.Name, in.Limit))
	})
	handle(s, routes, huma.Operation{
		OperationID: "get-drift-check", Method: http.MethodGet, Path: path + "/checks/{check}", Summary: "Show what a check for drift found",
	}, func(ctx context.Context, in *struct {
		DatabasePath
		Check string `path:"check" maxLength:"128" doc:"newest: the newest one that saw something."`
	}) (*answer[orchestrator.DriftCheckView], error) {
		if in.Check == newestCheck {
			in.Check = ""
		}
		return reply(s.Service.DriftCheck(ctx, in.Namespace, in.Name, in.Check))
	})
	handle(s, routes, huma.Operation{
		OperationID: "check-drift", Method: http.MethodPost, Path: path + "/checks", Summary: "Check a database for drift now", DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct {
		DatabasePath
		Body *actorBody
	}) (*answer[orchestrator.DriftCheckView], error) {
		return reply(s.Service.CheckDrift(ctx, in.Namespace, in.Name, in.Body.actor()))
	})
	handle(s, routes, huma.Operation{
		OperationID: "say-drift", Method: http.MethodPost, Path: path + "/rules", Summary: "Ignore, accept or watch drift",
	}, func(ctx context.Context, in *struct {
		DatabasePath
		Body driftRuleBody
	}) (*answer[orchestrator.DriftCheckView], error) {
		b := in.Body
		return reply(s.Service.SayDrift(ctx, orchestrator.DriftRuleRequest{
			Namespace: in.Namespace, Name: in.Name, Verb: b.Verb, Keys: b.Keys, Reason: b.Reason, Actor: actorName(b.Actor),
		}))
	})
	handle(s, routes, huma.Operation{
		OperationID: "remediate-drift", Method: http.MethodPost, Path: path + "/remediate",
		Summary: "Submit a run that puts back what the newest check found", DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct {
		DatabasePath
		Body *remediateBody
	}) (*answer[orchestrator.RunView], error) {
		b := in.Body
		if b == nil {
			b = &remediateBody{}
		}
		return reply(s.Service.Remediate(ctx, in.Namespace, in.Name, b.Yes, actorName(b.Actor)))
	})
}

// Drift lists a database's checks for drift, newest first; limit is 1 to 1000.
func (c *HTTPClient) Drift(ctx context.Context, namespace, name string, limit int) (out orchestrator.DriftView, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	return out, c.call(ctx, http.MethodGet, join("databases", namespace, name, "drift")+"?"+q.Encode(), nil, &out)
}

// DriftCheck shows what a check found; "" is the newest that saw something.
func (c *HTTPClient) DriftCheck(ctx context.Context, namespace, name, check string) (out orchestrator.DriftCheckView, err error) {
	if check == "" {
		check = newestCheck
	}
	return out, c.call(ctx, http.MethodGet, join("databases", namespace, name, "drift", "checks", check), nil, &out)
}

// CheckDrift asks for a check now.
func (c *HTTPClient) CheckDrift(ctx context.Context, namespace, name, actor string) (out orchestrator.DriftCheckView, err error) {
	return out, c.call(ctx, http.MethodPost, join("databases", namespace, name, "drift", "checks"), actorBody{Actor: actor}, &out)
}

// SayDrift ignores, accepts or watches drift.
func (c *HTTPClient) SayDrift(ctx context.Context, in orchestrator.DriftRuleRequest) (out orchestrator.DriftCheckView, err error) {
	body := driftRuleBody{Verb: in.Verb, Keys: in.Keys, Reason: in.Reason, Actor: in.Actor}
	return out, c.call(ctx, http.MethodPost, join("databases", in.Namespace, in.Name, "drift", "rules"), body, &out)
}

// Remediate submits a run that puts back what the newest check found.
func (c *HTTPClient) Remediate(ctx context.Context, namespace, name string, yes bool, actor string) (out orchestrator.RunView, err error) {
	return out, c.call(ctx, http.MethodPost, join("databases", namespace, name, "drift", "remediate"), remediateBody{Yes: yes, Actor: actor}, &out)
}
