// Package api serves Meridian over HTTP and JSON, and talks to such a server: New makes the handler, Serve runs it, HTTPClient is
// the other end. Errors are problem+json, live runs are server-sent events, the description is at /openapi.json.
//
// It must never decide anything: each route is one call of Service. It must never let a request in without the bearer token, and
// never write a token or password to a log.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"meridian/orchestrator"
	"meridian/stacks"
)

// Prefix is the path under which all routes of this version lie.
const Prefix = "/api/v1"

// maxBody bounds a request's body: a spec is at most 1 MiB, a packed module 2 MiB, and a submission may carry more than one.
const maxBody = 8 << 20

// Service is what the API needs of Meridian; orchestrator.Client is the real one.
// Errors that a person can act on are *orchestrator.Problem; any other becomes an internal error whose text only the log sees.
type Service interface {
	Submit(ctx context.Context, in orchestrator.SubmitRequest) (orchestrator.SubmitResult, error)
	Import(ctx context.Context, in orchestrator.ImportRequest) (orchestrator.SubmitResult, error)
	Destroy(ctx context.Context, namespace, name, actor string) (orchestrator.RunView, error)
	Approve(ctx context.Context, run, digest, actor string) (orchestrator.RunView, error)
	Cancel(ctx context.Context, run, actor string) (orchestrator.RunView, error)
	Answer(ctx context.Context, in orchestrator.AnswerRequest) (orchestrator.RunView, error)
	Run(ctx context.Context, run string) (orchestrator.RunView, error)
	Runs(ctx context.Context, namespace, name string, limit int) ([]orchestrator.RunView, error)
	WatchRun(ctx context.Context, run string) (<-chan orchestrator.RunView, error)
	Logs(ctx context.Context, run string, after int64, limit int) ([]orchestrator.LogLine, error)
	FindDatabases(ctx context.Context, q orchestrator.DatabaseQuery) ([]orchestrator.DatabaseView, error)
	Database(ctx context.Context, namespace, name string) (orchestrator.DatabaseView, error)
	Connect(ctx context.Context, in orchestrator.ConnectRequest) (orchestrator.ConnectView, error)
	Render(ctx context.Context, in orchestrator.SubmitRequest) ([]stacks.Stack, error)
	Drifter
	Operator
}

// Drifter is what the API needs of checks for drift.
type Drifter interface {
	Drift(ctx context.Context, namespace, name string, limit int) (orchestrator.DriftView, error)
	DriftCheck(ctx context.Context, namespace, name, check string) (orchestrator.DriftCheckView, error)
	CheckDrift(ctx context.Context, namespace, name, actor string) (orchestrator.DriftCheckView, error)
	SayDrift(ctx context.Context, in orchestrator.DriftRuleRequest) (orchestrator.DriftCheckView, error)
	Remediate(ctx context.Context, namespace, name string, yes bool, actor string) (orchestrator.RunView, error)
}

// Operator is what the API needs for those who look after states and stores.
type Operator interface {
	States(ctx context.Context, namespace, name, region string) ([]orchestrator.StateVersionView, error)
	State(ctx context.Context, ref orchestrator.StateRef) (orchestrator.StateView, error)
	DiffStates(ctx context.Context, from orchestrator.StateRef, to string) (orchestrator.StateDiffView, error)
	PullState(ctx context.Context, ref orchestrator.StateRef, actor string) (orchestrator.StateFileView, error)
	RestoreState(ctx context.Context, in orchestrator.RestoreStateRequest) (orchestrator.StateVersionView, error)
	Fsck(ctx context.Context, in orchestrator.FsckRequest) (orchestrator.FsckView, error)
	Keys(ctx context.Context) (orchestrator.KeysView, error)
	RotateKeys(ctx context.Context, actor string) (orchestrator.RotateView, error)
	RetireKeys(ctx context.Context, actor string) (orchestrator.RetireView, error)
	Sites(ctx context.Context) ([]orchestrator.SiteView, error)
	DeclareSiteDead(ctx context.Context, id, actor string) (orchestrator.SiteView, error)
	Terraform(ctx context.Context, in orchestrator.TerraformRequest) (orchestrator.TerraformView, error)
	RemoteState(ctx context.Context, namespace, name, region string) ([]byte, error)
	Orphans(ctx context.Context) ([]orchestrator.OrphanView, error)
	AdoptOrphan(ctx context.Context, in orchestrator.OrphanRequest) (orchestrator.TerraformView, error)
	RemoveOrphan(ctx context.Context, in orchestrator.OrphanRequest) (orchestrator.OrphanView, error)
}

var _ Service = (*orchestrator.Client)(nil)

// Options say what a handler serves.
type Options struct {
	Service Service
	// Token is the bearer token that every route but healthz asks for. An empty one lets nobody in.
	Token string
	// Version is what the version route and the OpenAPI description say.
	Version string
	// Web serves everything outside of /api: the one-time login and Temporal's Web UI. Nil means nothing is there.
	Web http.Handler
	// LoginURL makes a one-time URL for a browser that ends at next, a path on this server. Nil means that there is no Web UI.
	LoginURL func(next string) string
	// Hosts are names, beside the loopback ones, that a request's Host header may carry.
	Hosts []string
	// Heartbeat is how often a quiet event stream shows that it lives; 10 s where zero.
	Heartbeat time.Duration
	Logger    *slog.Logger
}

type server struct {
	Options
}

// New returns the handler of the whole server: the API, its description and, outside of /api, o.Web.
func New(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 10 * time.Second
	}
	s := &server{Options: o}

	r := chi.NewMux()
	r.Use(s.recoverPanics, s.checkHost, s.guard)
	r.NotFound(s.notFound)
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := readOnlyState(r); ok {
			writeProblem(w, http.StatusMethodNotAllowed, p)
			return
		}
		writeProblem(w, http.StatusMethodNotAllowed, &orchestrator.Problem{
			Code: CodeInvalidRequest, Title: "this path does not take " + r.Method, Next: "see /openapi.json",
		})
	})

	s.addRemoteState(r)
	config := huma.DefaultConfig("Meridian", o.Version)
	config.CreateHooks = nil // no $schema links in answers
	config.DocsPath, config.SchemasPath = "", ""
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}
	routes := humachi.New(r, config)
	s.addServer(routes)
	s.addSubmissions(routes)
	s.addDatabases(routes)
	s.addRuns(routes)
	s.addWatch(routes)
	s.addStates(routes)
	s.addFsck(routes)
	s.addKeys(routes)
	s.addSites(routes)
	s.addTerraform(routes)
	s.addOrphans(routes)
	s.addDrift(routes)
	return r
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	if s.Web != nil && !isAPI(r.URL.Path) {
		s.Web.ServeHTTP(w, r)
		return
	}
	writeProblem(w, http.StatusNotFound, &orchestrator.Problem{
		Code: orchestrator.CodeNotFound, Title: "no such path", Next: "see /openapi.json for what there is",
	})
}

func isAPI(path string) bool { return path == "/api" || strings.HasPrefix(path, "/api/") }

// requestTimeout bounds every route but watch: each is one transaction on rows and a wake; a submission also asks providers.
const requestTimeout = 60 * time.Second

// handle registers one operation: body limit, time limit, and errors as problems.
func handle[I, O any](s *server, routes huma.API, op huma.Operation, fn func(context.Context, *I) (*O, error)) {
	handleFor(s, routes, op, requestTimeout, fn)
}

// longTimeout bounds the routes that look at everything, or run terraform.
const longTimeout = 15 * time.Minute

// handleFor is handle with a time limit of its own.
func handleFor[I, O any](s *server, routes huma.API, op huma.Operation, limit time.Duration, fn func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = maxBody
	op.BodyReadTimeout = limit + 5*time.Second // huma leaves the deadline set: a shorter one would end the handler
	op.Path = Prefix + op.Path
	op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
	huma.Register(routes, op, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		out, err := fn(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

// answer is the body of every response.
type answer[T any] struct {
	CacheControl string `header:"Cache-Control"`
	Body         T
}

func reply[T any](body T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{CacheControl: "no-store", Body: body}, nil
}

// actorName makes a client's word for who it is fit for rows and terminals.
func actorName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if s = strings.TrimSpace(s); s == "" {
		return "unknown"
	}
	if runes := []rune(s); len(runes) > 128 {
		s = string(runes[:128])
	}
	return s
}
