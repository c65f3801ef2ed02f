package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"meridian/orchestrator"
	"meridian/stacks"
)

// maxDocuments bounds the files of one submission.
const maxDocuments = 256

// ValidateResult says whether a submission would be taken as far as its text tells.
type ValidateResult struct {
	Valid       bool                `json:"valid"`
	Diagnostics []stacks.Diagnostic `json:"diagnostics,omitempty"`
}

type submission struct {
	Body orchestrator.SubmitRequest
}

func (in *submission) check() error {
	if n := len(in.Body.Documents); n == 0 || n > maxDocuments {
		return &orchestrator.Problem{
			Code: CodeInvalidRequest, Title: fmt.Sprintf("a submission has 1 to %d documents, this one %d", maxDocuments, n),
		}
	}
	in.Body.Actor = actorName(in.Body.Actor)
	return nil
}

func (s *server) addSubmissions(routes huma.API) {
	handleFor(s, routes, huma.Operation{
		OperationID: "submit", Method: http.MethodPost, Path: "/submissions", Summary: "Submit specs: all or none",
		DefaultStatus: http.StatusAccepted,
	}, longTimeout, func(ctx context.Context, in *submission) (*answer[orchestrator.SubmitResult], error) {
		if err := in.check(); err != nil {
			return nil, err
		}
		return reply(s.Service.Submit(ctx, in.Body))
	})

	handle(s, routes, huma.Operation{
		OperationID: "import", Method: http.MethodPost, Path: "/imports", Summary: "Take a database that is there already under control",
		DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct{ Body orchestrator.ImportRequest }) (*answer[orchestrator.SubmitResult], error) {
		if n := len(in.Body.Documents); n != 1 {
			return nil, &orchestrator.Problem{Code: CodeInvalidRequest, Title: fmt.Sprintf("an import has one document, this one %d", n)}
		}
		in.Body.Actor = actorName(in.Body.Actor)
		return reply(s.Service.Import(ctx, in.Body))
	})

	handleFor(s, routes, huma.Operation{
		OperationID: "validate", Method: http.MethodPost, Path: "/validate", Summary: "Check specs and store nothing",
	}, longTimeout, func(ctx context.Context, in *submission) (*answer[ValidateResult], error) {
		if err := in.check(); err != nil {
			return nil, err
		}
		_, err := s.Service.Render(ctx, in.Body)
		var p *orchestrator.Problem
		if errors.As(err, &p) && p.Code == orchestrator.CodeInvalidSpec {
			return reply(ValidateResult{Diagnostics: p.Diagnostics}, nil)
		}
		return reply(ValidateResult{Valid: true}, err)
	})

	handleFor(s, routes, huma.Operation{
		OperationID: "render", Method: http.MethodPost, Path: "/render", Summary: "Render specs to Terraform and store nothing",
	}, longTimeout, func(ctx context.Context, in *submission) (*answer[[]stacks.Stack], error) {
		if err := in.check(); err != nil {
			return nil, err
		}
		return reply(s.Service.Render(ctx, in.Body))
	})
}
