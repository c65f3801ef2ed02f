package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"meridian/orchestrator"
	"meridian/stacks"
)

// maxAnswer bounds what HTTPClient reads of one answer.
const maxAnswer = 64 << 20

// UnreachableError means that no server answered at URL.
type UnreachableError struct {
	URL string
	Err error
}

// Error says where nobody answered, and why.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no Meridian server answers at %s: %v", e.URL, e.Err)
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// ClientOptions say which server an HTTPClient talks to.
type ClientOptions struct {
	// URL is the server's address, like http://127.0.0.1:7480. Plain http is only for loopback: the token would travel in clear.
	URL   string
	Token string
	// GiveUp is how long a watch tries to reach a server that went away; 2 minutes where zero.
	GiveUp time.Duration
	// Away is told when a watch lost its server and tries again, with the error, and with nil when the server is back.
	Away func(err error)
}

// HTTPClient is a Service on the other side of HTTP. Errors are *orchestrator.Problem as the server made them, or *UnreachableError.
type HTTPClient struct {
	o    ClientOptions
	base string
	http *http.Client
}

var _ Service = (*HTTPClient)(nil)

// NewHTTPClient returns a client; it does not connect yet.
func NewHTTPClient(o ClientOptions) (*HTTPClient, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("the server's address must look like http://127.0.0.1:7480 or https://HOST")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("http://%s would carry the token in clear: use https, or a tunnel to a loopback address", u.Host)
	}
	if o.GiveUp == 0 {
		o.GiveUp = 2 * time.Minute
	}
	if o.Away == nil {
		o.Away = func(error) {}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 4
	return &HTTPClient{o: o, base: strings.TrimSuffix(o.URL, "/"), http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
	}}, nil
}

// URL is the server's address.
func (c *HTTPClient) URL() string { return c.base }

// Close lets idle connections go.
func (c *HTTPClient) Close() { c.http.CloseIdleConnections() }

// Submit submits specs, all or none.
func (c *HTTPClient) Submit(ctx context.Context, in orchestrator.SubmitRequest) (out orchestrator.SubmitResult, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodPost, "/submissions", in, &out)
}

// Import takes what is there already under control.
func (c *HTTPClient) Import(ctx context.Context, in orchestrator.ImportRequest) (out orchestrator.SubmitResult, err error) {
	return out, c.call(ctx, http.MethodPost, "/imports", in, &out)
}

// Destroy submits a destroy run.
func (c *HTTPClient) Destroy(ctx context.Context, namespace, name, actor string) (out orchestrator.RunView, err error) {
	return out, c.call(ctx, http.MethodPost, join("databases", namespace, name, "destroy"), actorBody{Actor: actor}, &out)
}

// Approve says yes to exactly this plan digest.
func (c *HTTPClient) Approve(ctx context.Context, run, digest, actor string) (out orchestrator.RunView, err error) {
	return out, c.call(ctx, http.MethodPost, join("runs", run, "approve"), approveBody{Plan: digest, Actor: actor}, &out)
}

// Cancel asks a run to stop.
func (c *HTTPClient) Cancel(ctx context.Context, run, actor string) (out orchestrator.RunView, err error) {
	return out, c.call(ctx, http.MethodPost, join("runs", run, "cancel"), actorBody{Actor: actor}, &out)
}

// Answer answers what a run asks.
func (c *HTTPClient) Answer(ctx context.Context, in orchestrator.AnswerRequest) (out orchestrator.RunView, err error) {
	body := answerBody{Region: in.Region, Address: in.Address, Answer: in.Kind, ImportID: in.ImportID, Actor: in.Actor}
	return out, c.call(ctx, http.MethodPost, join("runs", in.Run, "answer"), body, &out)
}

// Run reads a run with live progress.
func (c *HTTPClient) Run(ctx context.Context, run string) (out orchestrator.RunView, err error) {
	return out, c.call(ctx, http.MethodGet, join("runs", run), nil, &out)
}

// Runs lists runs, newest first; limit is 1 to 1000.
func (c *HTTPClient) Runs(ctx context.Context, namespace, name string, limit int) (out []orchestrator.RunView, err error) {
	q := url.Values{"namespace": {namespace}, "name": {name}, "limit": {strconv.Itoa(limit)}}
	return out, c.call(ctx, http.MethodGet, "/runs?"+q.Encode(), nil, &out)
}

// Logs lists a run's log lines with a sequence above after; limit is 1 to 5000.
func (c *HTTPClient) Logs(ctx context.Context, run string, after int64, limit int) (out []orchestrator.LogLine, err error) {
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	return out, c.call(ctx, http.MethodGet, join("runs", run, "logs")+"?"+q.Encode(), nil, &out)
}

// listPage is how many databases are asked for at once.
const listPage = 500

// Databases lists databases of a namespace ("" for all).
func (c *HTTPClient) Databases(ctx context.Context, namespace string) ([]orchestrator.DatabaseView, error) {
	return c.FindDatabases(ctx, orchestrator.DatabaseQuery{Namespace: namespace})
}

// FindDatabases lists databases by namespace and name; without a limit it asks for page after page.
func (c *HTTPClient) FindDatabases(ctx context.Context, q orchestrator.DatabaseQuery) (out []orchestrator.DatabaseView, err error) {
	for {
		limit := listPage
		if q.Limit > 0 {
			limit = min(q.Limit-len(out), listPage)
		}
		var page []orchestrator.DatabaseView
		in := url.Values{"namespace": {q.Namespace}, "search": {q.Search}, "after": {q.After}, "limit": {strconv.Itoa(limit)}}
		if err := c.call(ctx, http.MethodGet, "/databases?"+in.Encode(), nil, &page); err != nil {
			return nil, err
		}
		out = append(out, page...)
		if len(page) < limit || len(out) == q.Limit {
			return out, nil
		}
		last := page[len(page)-1]
		q.After = last.Namespace + "/" + last.Name
	}
}

// Database describes one database.
func (c *HTTPClient) Database(ctx context.Context, namespace, name string) (out orchestrator.DatabaseView, err error) {
	return out, c.call(ctx, http.MethodGet, join("databases", namespace, name), nil, &out)
}

// Connect says how to connect.
func (c *HTTPClient) Connect(ctx context.Context, in orchestrator.ConnectRequest) (out orchestrator.ConnectView, err error) {
	body := connectBody{Region: in.Region, User: in.User, Database: in.Database, Reveal: in.Reveal, Actor: in.Actor}
	return out, c.call(ctx, http.MethodPost, join("databases", in.Namespace, in.Name, "connect"), body, &out)
}

// Render returns the stacks that specs would have.
func (c *HTTPClient) Render(ctx context.Context, in orchestrator.SubmitRequest) (out []stacks.Stack, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodPost, "/render", in, &out)
}

// Validate checks specs against what the server can run.
func (c *HTTPClient) Validate(ctx context.Context, in orchestrator.SubmitRequest) (out ValidateResult, err error) {
	return out, c.callFor(ctx, longTimeout, http.MethodPost, "/validate", in, &out)
}

// Version asks which Meridian answers.
func (c *HTTPClient) Version(ctx context.Context) (out VersionInfo, err error) {
	return out, c.call(ctx, http.MethodGet, "/version", nil, &out)
}

// Health asks whether a server answers; it needs no token.
func (c *HTTPClient) Health(ctx context.Context) (out Health, err error) {
	return out, c.call(ctx, http.MethodGet, "/healthz", nil, &out)
}

// Login makes a one-time URL for a browser that ends at next.
func (c *HTTPClient) Login(ctx context.Context, next string) (out Login, err error) {
	return out, c.call(ctx, http.MethodPost, "/login", loginBody{Next: next}, &out)
}

// join makes a path of segments that may hold anything: an escaped "/" stays in its segment, and "." and ".." name nothing.
func join(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		switch s = url.PathEscape(s); s {
		case ".", "..":
			s = strings.ReplaceAll(s, ".", "%2E")
		case "":
			s = "%20" // an empty name must not fall through to another route
		}
		b.WriteString(s)
	}
	return b.String()
}

func (c *HTTPClient) call(ctx context.Context, method, path string, in, out any) error {
	return c.callFor(ctx, requestTimeout, method, path, in, out)
}

func (c *HTTPClient) callFor(ctx context.Context, limit time.Duration, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, limit+5*time.Second)
	defer cancel()
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return &UnreachableError{URL: c.base, Err: fmt.Errorf("read the answer: %w", err)}
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s answered something else than Meridian's JSON: %w", c.base, err)
	}
	return nil
}

// send returns a successful response, or the server's problem.
func (c *HTTPClient) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		if len(text) > maxBody {
			return nil, &orchestrator.Problem{
				Code: orchestrator.CodeInvalidSpec, Title: fmt.Sprintf("the request has %d bytes, at most %d are taken", len(text), maxBody),
				Next: "submit fewer files at a time",
			}
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+Prefix+path, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json, application/problem+json, text/event-stream")
	if c.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, &UnreachableError{URL: c.base, Err: err}
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.problemOf(resp)
}

func (c *HTTPClient) problemOf(resp *http.Response) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "application/problem+json" {
		return fmt.Errorf("%s answered %s and is no Meridian server", c.base, resp.Status)
	}
	var p ProblemBody
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p); err != nil {
		return fmt.Errorf("%s answered %s and no readable problem: %w", c.base, resp.Status, err)
	}
	return &p.Problem
}
