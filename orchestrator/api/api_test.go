package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/orchestrator/api/apitest"
	"meridian/stacks"
)

const token = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func example(t testing.TB, name string) orchestrator.Document {
	t.Helper()
	text, err := os.ReadFile("../../examples/orders.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return orchestrator.Document{File: name + ".yaml", Text: strings.Replace(string(text), "name: orders\n", "name: "+name+"\n", 1)}
}

type house struct {
	fake   *apitest.Fake
	server *httptest.Server
	client *api.HTTPClient
	logs   *bytes.Buffer
}

func start(t testing.TB, edit func(*api.Options)) house {
	t.Helper()
	h := house{fake: apitest.New(), logs: &bytes.Buffer{}}
	o := api.Options{Service: h.fake, Token: token, Version: "1.2.3", Logger: slog.New(slog.NewTextHandler(h.logs, nil))}
	if edit != nil {
		edit(&o)
	}
	h.server = httptest.NewServer(api.New(o))
	t.Cleanup(h.server.Close)
	h.client = dial(t, h.server.URL, token)
	return h
}

func dial(t testing.TB, url, token string) *api.HTTPClient {
	t.Helper()
	c, err := api.NewHTTPClient(api.ClientOptions{URL: url, Token: token, GiveUp: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func problemCode(err error) string {
	var p *orchestrator.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// apply submits a database and returns its run.
func (h house) apply(t testing.TB, name string, yes bool) orchestrator.RunView {
	t.Helper()
	out, err := h.client.Submit(t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{example(t, name)}, Yes: yes, Actor: "ayse@laptop"})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Runs) != 1 {
		t.Fatalf("%d runs, want 1", len(out.Runs))
	}
	return out.Runs[0]
}

// TestRoutes goes through every method of the client, and compares each answer with the service's own.
func TestRoutes(t *testing.T) {
	h := start(t, func(o *api.Options) {
		o.LoginURL = func(next string) string { return "http://localhost/open?next=" + url.QueryEscape(next) }
	})
	ctx := t.Context()
	run := h.apply(t, "orders", false)
	same := func(what string, got any, gotErr error, want any, wantErr error) {
		t.Helper()
		if gotErr != nil || wantErr != nil {
			t.Fatalf("%s: errors %v and %v", what, gotErr, wantErr)
		}
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		if string(g) != string(w) {
			t.Errorf("%s over HTTP:\n%s\nwant:\n%s", what, g, w)
		}
	}
	got, err := h.client.Run(ctx, run.ID)
	want, wantErr := h.fake.Run(ctx, run.ID)
	same("run", got, err, want, wantErr)
	if got.Phase != stacks.PhaseAwaiting || len(got.Changes) != 2 {
		t.Errorf("run is %s with %d changes", got.Phase, len(got.Changes))
	}
	if approved, err := h.client.Approve(ctx, run.ID, got.PlanDigest, "mert"); err != nil || approved.Phase != stacks.PhaseDone {
		t.Errorf("approve: %s, %v", approved.Phase, err)
	}
	dbs, err := h.client.Databases(ctx, "default")
	wantDBs, wantErr := h.fake.FindDatabases(ctx, orchestrator.DatabaseQuery{Namespace: "default"})
	same("databases", dbs, err, wantDBs, wantErr)
	if len(dbs) != 1 || dbs[0].Links[0].VerifiedAt == nil {
		t.Errorf("databases: %+v", dbs)
	}
	if none, err := h.client.Databases(ctx, "elsewhere"); err != nil || len(none) != 0 {
		t.Errorf("databases of another namespace: %v, %v", none, err)
	}
	db, err := h.client.Database(ctx, "default", "orders")
	wantDB, wantErr := h.fake.Database(ctx, "default", "orders")
	same("database", db, err, wantDB, wantErr)
	if db.Spec == nil || db.Spec.Spec.Replication.MaxLag != stacks.Duration(5*time.Second) {
		t.Errorf("spec over HTTP: %+v", db.Spec)
	}
	runs, err := h.client.Runs(ctx, "", "orders", 10)
	wantRuns, wantErr := h.fake.Runs(ctx, "", "orders", 10)
	same("runs", runs, err, wantRuns, wantErr)
	logs, err := h.client.Logs(ctx, run.ID, 1, 2)
	wantLogs, wantErr := h.fake.Logs(ctx, run.ID, 1, 2)
	same("logs", logs, err, wantLogs, wantErr)
	if len(logs) != 2 || logs[0].Seq != 2 {
		t.Errorf("logs: %+v", logs)
	}
	masked, err := h.client.Connect(ctx, orchestrator.ConnectRequest{Namespace: "default", Name: "orders", Region: "istanbul"})
	if err != nil || masked.Region != "istanbul" || masked.Password != "" {
		t.Errorf("connect: %+v, %v", masked, err)
	}
	revealed, err := h.client.Connect(ctx, orchestrator.ConnectRequest{
		Namespace: "default", Name: "orders", User: "u", Database: "d", Reveal: true, Actor: "ayse",
	})
	if err != nil || revealed.Password != apitest.Password || revealed.User != "u" || revealed.Database != "d" {
		t.Errorf("connect --reveal: %+v, %v", revealed, err)
	}
	in := orchestrator.SubmitRequest{Documents: []orchestrator.Document{example(t, "other")}}
	rendered, err := h.client.Render(ctx, in)
	wantRendered, wantErr := h.fake.Render(ctx, in)
	same("render", rendered, err, wantRendered, wantErr)
	if v, err := h.client.Validate(ctx, in); err != nil || !v.Valid {
		t.Errorf("validate: %+v, %v", v, err)
	}
	in.Documents[0].Text = "kind: Nothing\n"
	if v, err := h.client.Validate(ctx, in); err != nil || v.Valid || len(v.Diagnostics) == 0 {
		t.Errorf("validate of nonsense: %+v, %v", v, err)
	}
	destroy, err := h.client.Destroy(ctx, "default", "orders", "")
	if err != nil || destroy.Kind != stacks.RunDestroy {
		t.Errorf("destroy: %+v, %v", destroy, err)
	}
	if v, err := h.client.Cancel(ctx, destroy.ID, "ayse\n\x1b[31m"); err != nil || v.Phase != stacks.PhaseCancelled {
		t.Errorf("cancel: %+v, %v", v, err)
	}
	if v, err := h.client.Version(ctx); err != nil || v.Version != "1.2.3" {
		t.Errorf("version: %+v, %v", v, err)
	}
	if v, err := h.client.Login(ctx, "/temporal/x"); err != nil || v.URL != "http://localhost/open?next=%2Ftemporal%2Fx" {
		t.Errorf("login: %+v, %v", v, err)
	}
	wantActors := []string{"submit ayse@laptop", "approve mert", "connect unknown", "connect ayse", "destroy unknown", "cancel ayse[31m"}
	if !reflect.DeepEqual(h.fake.Actors, wantActors) {
		t.Errorf("actors %q, want %q", h.fake.Actors, wantActors)
	}
}

func TestErrors(t *testing.T) {
	h := start(t, nil)
	ctx := t.Context()
	done := h.apply(t, "orders", true)
	waiting := h.apply(t, apitest.Danger, true)
	missing := func(err error) string { return problemCode(err) }
	tests := map[string]struct {
		call func() error
		want string
	}{
		"unknown run":         {func() error { _, err := h.client.Run(ctx, "r-none"); return err }, orchestrator.CodeNotFound},
		"unknown run watched": {func() error { _, err := h.client.WatchRun(ctx, "r-none"); return err }, orchestrator.CodeNotFound},
		"unknown run's logs":  {func() error { _, err := h.client.Logs(ctx, "r-none", 0, 1); return err }, orchestrator.CodeNotFound},
		"unknown database":    {func() error { _, err := h.client.Database(ctx, "default", "none"); return err }, orchestrator.CodeNotFound},
		"empty name":          {func() error { _, err := h.client.Database(ctx, "default", ""); return err }, orchestrator.CodeNotFound},
		"name with a slash":   {func() error { _, err := h.client.Database(ctx, "default", "a/b"); return err }, orchestrator.CodeNotFound},
		"name of dots":        {func() error { _, err := h.client.Database(ctx, "..", ".."); return err }, orchestrator.CodeNotFound},
		"unknown region": {func() error {
			_, err := h.client.Connect(ctx, orchestrator.ConnectRequest{Namespace: "default", Name: "orders", Region: "none"})
			return err
		}, orchestrator.CodeNotFound},
		"stale plan": {func() error { _, err := h.client.Approve(ctx, waiting.ID, "00", "a"); return err }, orchestrator.CodeStalePlan},
		"empty plan": {func() error { _, err := h.client.Approve(ctx, waiting.ID, "", "a"); return err }, api.CodeInvalidRequest},
		"ended run":  {func() error { _, err := h.client.Cancel(ctx, done.ID, "a"); return err }, orchestrator.CodeConflict},
		"invalid spec": {func() error {
			_, err := h.client.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "x", Text: "a: ["}}})
			return err
		}, orchestrator.CodeInvalidSpec},
		"no documents": {func() error {
			_, err := h.client.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{}})
			return err
		}, api.CodeInvalidRequest},
		"limit of zero":  {func() error { _, err := h.client.Runs(ctx, "", "", 0); return err }, api.CodeInvalidRequest},
		"limit too high": {func() error { _, err := h.client.Runs(ctx, "", "", 1001); return err }, api.CodeInvalidRequest},
		"negative after": {func() error { _, err := h.client.Logs(ctx, done.ID, -1, 10); return err }, api.CodeInvalidRequest},
		"name too long":  {func() error { _, err := h.client.Database(ctx, "default", strings.Repeat("a", 64)); return err }, api.CodeInvalidRequest},
		"broken service": {func() error { _, err := h.client.Database(ctx, "default", apitest.Broken); return err }, orchestrator.CodeInternal},
		"no web":         {func() error { _, err := h.client.Login(ctx, "/"); return err }, orchestrator.CodeNotFound},
		"too long": {func() error {
			_, err := h.client.Submit(ctx, orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "x", Text: strings.Repeat("x", 3<<20)}}})
			return err
		}, orchestrator.CodeInvalidSpec},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := tc.call()
			if got := missing(err); got != tc.want {
				t.Errorf("error %v has code %q, want %q", err, got, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the inside shows: %v", err)
			}
		})
	}
	if !strings.Contains(h.logs.String(), apitest.BrokenText) {
		t.Errorf("the log does not name the cause: %s", h.logs)
	}
	if strings.Contains(h.logs.String(), token) {
		t.Error("the log holds the token")
	}
}

// TestProblemJSON looks at the bytes: status, content type, members.
func TestProblemJSON(t *testing.T) {
	h := start(t, nil)
	h.apply(t, apitest.Danger, true)
	tests := map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"not found":     {"GET", "/api/v1/runs/none", "", 404, "not_found"},
		"no route":      {"GET", "/api/v1/nothing", "", 404, "not_found"},
		"no page":       {"GET", "/", "", 404, "not_found"},
		"wrong method":  {"DELETE", "/api/v1/runs", "", 405, "invalid_request"},
		"unavailable":   {"POST", "/api/v1/runs/" + apitest.Busy + "/approve", `{"plan":"00"}`, 503, "unavailable"},
		"stale plan":    {"POST", "/api/v1/runs/r-0001/approve", `{"plan":"00"}`, 409, "stale_plan"},
		"no body":       {"POST", "/api/v1/submissions", "", 400, "invalid_request"},
		"no json":       {"POST", "/api/v1/submissions", "{", 400, "invalid_request"},
		"unknown field": {"POST", "/api/v1/submissions", `{"documents":[],"secret":"s3cr3t"}`, 422, "invalid_request"},
		"wrong type":    {"POST", "/api/v1/submissions", `{"documents":7}`, 422, "invalid_request"},
		"invalid spec":  {"POST", "/api/v1/submissions", `{"documents":[{"file":"a","text":"kind: ["}]}`, 422, "invalid_spec"},
		"internal":      {"GET", "/api/v1/databases/default/broken", "", 500, "internal"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			resp := h.raw(t, tc.method, tc.path, tc.body, nil)
			text, _ := io.ReadAll(resp.Body)
			var p struct {
				Type, Title, Code string
				Status            int
				Diagnostics       []stacks.Diagnostic
			}
			if err := json.Unmarshal(text, &p); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if resp.StatusCode != tc.status || p.Status != tc.status || p.Code != tc.code || p.Title == "" || p.Type != "about:blank" {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, text, tc.status, tc.code)
			}
			if kind := resp.Header.Get("Content-Type"); kind != "application/problem+json" {
				t.Errorf("content type %s", kind)
			}
			if strings.Contains(string(text), "s3cr3t") || strings.Contains(string(text), apitest.BrokenText) {
				t.Errorf("says too much: %s", text)
			}
			if after := resp.Header.Get("Retry-After"); (after != "") != (tc.code == "unavailable") {
				t.Errorf("to be asked again after %q", after)
			}
			if tc.code == "invalid_spec" && (len(p.Diagnostics) == 0 || p.Diagnostics[0].Line == 0) {
				t.Errorf("diagnostics: %+v", p.Diagnostics)
			}
		})
	}
}

func (h house) raw(t testing.TB, method, path, body string, edit func(*http.Request)) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if edit != nil {
		edit(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestOpenAPI(t *testing.T) {
	h := start(t, nil)
	resp := h.raw(t, "GET", "/openapi.json", "", nil)
	var doc struct {
		OpenAPI string
		Info    struct{ Version string }
		Paths   map[string]map[string]any
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/databases", "/databases/{namespace}/{name}", "/databases/{namespace}/{name}/destroy", "/databases/{namespace}/{name}/connect",
		"/runs", "/runs/{run}", "/runs/{run}/approve", "/runs/{run}/cancel", "/runs/{run}/answer", "/runs/{run}/logs", "/runs/{run}/watch",
		"/submissions", "/imports", "/validate", "/render", "/fsck", "/keys", "/keys/rotate", "/keys/retire", "/sites", "/sites/{site}/declare-dead", "/healthz", "/version", "/login",
		"/databases/{namespace}/{name}/drift", "/databases/{namespace}/{name}/drift/checks", "/databases/{namespace}/{name}/drift/checks/{check}",
		"/databases/{namespace}/{name}/drift/rules", "/databases/{namespace}/{name}/drift/remediate",
		"/orphans", "/orphans/adopt", "/orphans/remove", "/databases/{namespace}/{name}/regions/{region}/terraform",
		"/databases/{namespace}/{name}/regions/{region}/states", "/databases/{namespace}/{name}/regions/{region}/states/{version}",
		"/databases/{namespace}/{name}/regions/{region}/states/{version}/diff/{to}",
		"/databases/{namespace}/{name}/regions/{region}/states/{version}/pull", "/databases/{namespace}/{name}/regions/{region}/states/{version}/restore",
	}
	for _, p := range want {
		if doc.Paths[api.Prefix+p] == nil {
			t.Errorf("%s is not described", p)
		}
	}
	if len(doc.Paths) != len(want) || doc.Info.Version != "1.2.3" {
		t.Errorf("%d paths of version %s, want %d", len(doc.Paths), doc.Info.Version, len(want))
	}
}

// TestServe ends: requests finish, event streams are let go, the port is free again.
func TestServe(t *testing.T) {
	fake := apitest.New()
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- api.Serve(ctx, l, api.New(api.Options{Service: fake, Token: token}), slog.New(slog.DiscardHandler))
	}()
	h := house{fake: fake, client: dial(t, "http://"+l.Addr().String(), token)}
	run := h.apply(t, apitest.Slow, true)
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	views, err := h.client.WatchRun(watching, run.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-views
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("serve: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not stop while somebody watches")
	}
	if _, err := h.client.Health(t.Context()); err == nil {
		t.Error("still there")
	} else if unreachable := new(api.UnreachableError); !errors.As(err, &unreachable) {
		t.Errorf("error %v is no UnreachableError", err)
	}
}
