package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

type terraformBody struct {
	Args    []string `json:"args" minItems:"1" maxItems:"64" doc:"Like state, rm, ADDRESS."`
	Approve string   `json:"approve,omitempty" maxLength:"128" doc:"The digest of what was shown; without it a verb that writes is only shown."`
	Actor   string   `json:"actor,omitempty" maxLength:"1024" doc:"Who asks, for the audit."`
}

func (s *server) addTerraform(routes huma.API) {
	handleFor(s, routes, huma.Operation{
		OperationID: "terraform-state", Method: http.MethodPost, Path: "/databases/{namespace}/{name}/regions/{region}/terraform",
		Summary: "Run a verb of terraform on a region's state",
	}, longTimeout, func(ctx context.Context, in *struct {
		RegionPath
		Body terraformBody
	}) (*answer[orchestrator.TerraformView], error) {
		return reply(s.Service.Terraform(ctx, orchestrator.TerraformRequest{
			Namespace: in.Namespace, Name: in.Name, Region: in.Region, Args: in.Body.Args, Approve: in.Body.Approve, Actor: actorName(in.Body.Actor),
		}))
	})
}

// Terraform runs a verb of terraform on a region's state.
func (c *HTTPClient) Terraform(ctx context.Context, in orchestrator.TerraformRequest) (out orchestrator.TerraformView, err error) {
	path := join("databases", in.Namespace, in.Name, "regions", in.Region, "terraform")
	return out, c.callFor(ctx, longTimeout, http.MethodPost, path, terraformBody{Args: in.Args, Approve: in.Approve, Actor: in.Actor}, &out)
}
