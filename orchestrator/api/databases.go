package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
)

// DatabasePath names a database in a path. It is exported because huma passes by embedded fields that are not.
type DatabasePath struct {
	Namespace string `path:"namespace" maxLength:"63"`
	Name      string `path:"name" maxLength:"63"`
}

type actorBody struct {
	Actor string `json:"actor,omitempty" maxLength:"1024" doc:"Who asks, for the audit."`
}

// connectBody is ConnectRequest without the database, which the path names.
type connectBody struct {
	Region   string `json:"region,omitempty" maxLength:"63" doc:"The primary where empty."`
	User     string `json:"user,omitempty" maxLength:"63" doc:"The first user of the spec where empty."`
	Database string `json:"database,omitempty" maxLength:"63" doc:"The first database of the spec where empty."`
	Reveal   bool   `json:"reveal,omitempty" doc:"Give the password too; that is audited."`
	Actor    string `json:"actor,omitempty" maxLength:"1024" doc:"Who asks, for the audit."`
}

func (s *server) addDatabases(routes huma.API) {
	handle(s, routes, huma.Operation{
		OperationID: "list-databases", Method: http.MethodGet, Path: "/databases", Summary: "List databases, by namespace and name",
	}, func(ctx context.Context, in *struct {
		Namespace string `query:"namespace" maxLength:"63" doc:"All namespaces where empty."`
		Search    string `query:"search" maxLength:"63" doc:"A part of the name."`
		After     string `query:"after" maxLength:"127" doc:"Namespace/name of the last one of the page before."`
		Limit     int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many."`
	}) (*answer[[]orchestrator.DatabaseView], error) {
		return reply(s.Service.FindDatabases(ctx, orchestrator.DatabaseQuery{Namespace: in.Namespace, Search: in.Search, After: in.After, Limit: in.Limit}))
	})

	handle(s, routes, huma.Operation{
		OperationID: "get-database", Method: http.MethodGet, Path: "/databases/{namespace}/{name}", Summary: "Describe a database",
	}, func(ctx context.Context, in *DatabasePath) (*answer[orchestrator.DatabaseView], error) {
		return reply(s.Service.Database(ctx, in.Namespace, in.Name))
	})

	handle(s, routes, huma.Operation{
		OperationID: "destroy-database", Method: http.MethodPost, Path: "/databases/{namespace}/{name}/destroy",
		Summary: "Submit a destroy run", DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct {
		DatabasePath
		Body *actorBody
	}) (*answer[orchestrator.RunView], error) {
		return reply(s.Service.Destroy(ctx, in.Namespace, in.Name, in.Body.actor()))
	})

	handle(s, routes, huma.Operation{
		OperationID: "connect-database", Method: http.MethodPost, Path: "/databases/{namespace}/{name}/connect",
		Summary: "Say how to connect to a region",
	}, func(ctx context.Context, in *struct {
		DatabasePath
		Body *connectBody
	}) (*answer[orchestrator.ConnectView], error) {
		b := in.Body
		if b == nil {
			b = &connectBody{}
		}
		return reply(s.Service.Connect(ctx, orchestrator.ConnectRequest{
			Namespace: in.Namespace, Name: in.Name, Region: b.Region, User: b.User, Database: b.Database,
			Reveal: b.Reveal, Actor: actorName(b.Actor),
		}))
	})
}

func (b *actorBody) actor() string {
	if b == nil {
		return actorName("")
	}
	return actorName(b.Actor)
}
