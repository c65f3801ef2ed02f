package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

type siteBody struct {
	Actor string `json:"actor,omitempty" maxLength:"1024" doc:"Who answers for it, for the audit."`
}

func (s *server) addSites(routes huma.API) {
	handle(s, routes, huma.Operation{
		OperationID: "list-sites", Method: http.MethodGet, Path: "/sites", Summary: "List the sites that have worked with this store",
	}, func(ctx context.Context, _ *struct{}) (*answer[[]orchestrator.SiteView], error) {
		return reply(s.Service.Sites(ctx))
	})
	handle(s, routes, huma.Operation{
		OperationID: "declare-site-dead", Method: http.MethodPost, Path: "/sites/{site}/declare-dead",
		Summary: "Declare that nothing runs on a site any more, so that others take its stacks over",
	}, func(ctx context.Context, in *struct {
		Site string `path:"site" maxLength:"128"`
		Body *siteBody
	}) (*answer[orchestrator.SiteView], error) {
		actor := ""
		if in.Body != nil {
			actor = in.Body.Actor
		}
		return reply(s.Service.DeclareSiteDead(ctx, in.Site, actorName(actor)))
	})
}

// Sites lists the sites that have worked with the server's store.
func (c *HTTPClient) Sites(ctx context.Context) (out []orchestrator.SiteView, err error) {
	return out, c.call(ctx, http.MethodGet, "/sites", nil, &out)
}

// DeclareSiteDead records that nothing runs on a site any more.
func (c *HTTPClient) DeclareSiteDead(ctx context.Context, id, actor string) (out orchestrator.SiteView, err error) {
	return out, c.call(ctx, http.MethodPost, "/sites/"+url.PathEscape(id)+"/declare-dead", siteBody{Actor: actor}, &out)
}
