package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/orchestrator/api/apitest"
	"meridian/stacks"
)

func phases(t *testing.T, views <-chan orchestrator.RunView) []stacks.Phase {
	t.Helper()
	var out []stacks.Phase
	late := time.After(10 * time.Second)
	for {
		select {
		case v, ok := <-views:
			if !ok {
				return out
			}
			if len(out) == 0 || out[len(out)-1] != v.Phase {
				out = append(out, v.Phase)
			}
		case <-late:
			t.Fatalf("the stream does not end; so far %v", out)
		}
	}
}

func TestWatchEndsWithTheRun(t *testing.T) {
	h := start(t, nil)
	run := h.apply(t, "orders", true)
	views, err := h.client.WatchRun(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := []stacks.Phase{stacks.PhasePending, stacks.PhasePlanning, stacks.PhaseAwaiting, stacks.PhaseApplying, stacks.PhaseLinking, stacks.PhaseDone}
	if got := phases(t, views); !slices.Equal(got, want) {
		t.Errorf("phases %v, want %v", got, want)
	}
}

func TestWatchSeesWhatHappensLater(t *testing.T) {
	h := start(t, nil)
	run := h.apply(t, apitest.Slow, true)
	views, err := h.client.WatchRun(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	for v := range views {
		if v.Phase == stacks.PhaseApplying {
			break
		}
	}
	h.fake.Finish(run.ID)
	if got := phases(t, views); !slices.Equal(got, []stacks.Phase{stacks.PhaseLinking, stacks.PhaseDone}) {
		t.Errorf("phases after the wait: %v", got)
	}
}

func TestWatchHeartbeat(t *testing.T) {
	h := start(t, func(o *api.Options) { o.Heartbeat = 5 * time.Millisecond })
	run := h.apply(t, apitest.Slow, true)
	resp := h.raw(t, "GET", "/api/v1/runs/"+run.ID+"/watch", "", nil)
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %s", kind)
	}
	lines := bufio.NewReader(resp.Body)
	beats, events := 0, 0
	for beats < 3 {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ": beat\n" {
			beats++
		}
		if line == "event: run\n" {
			events++
		}
	}
	if events != 4 { // pending, planning, awaiting, applying
		t.Errorf("%d events before three beats", events)
	}
}

func TestWatchStopsWithItsContext(t *testing.T) {
	h := start(t, nil)
	run := h.apply(t, apitest.Slow, true)
	ctx, cancel := context.WithCancel(t.Context())
	views, err := h.client.WatchRun(ctx, run.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-views
	cancel()
	phases(t, views)
}

// restartable is a server that can be taken away and put back on the same address.
type restartable struct {
	address string
	fake    *apitest.Fake
	mu      sync.Mutex
	server  *http.Server
}

func (r *restartable) up(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.address = l.Addr().String()
	r.server = &http.Server{Handler: api.New(api.Options{Service: r.fake, Token: token, Logger: slog.New(slog.DiscardHandler)})}
	go r.server.Serve(l)
}

func (r *restartable) down() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server.Close()
}

func TestWatchComesBackAfterTheServer(t *testing.T) {
	r := &restartable{address: "127.0.0.1:0", fake: apitest.New()}
	r.up(t)
	away := make(chan error, 8)
	c, err := api.NewHTTPClient(api.ClientOptions{URL: "http://" + r.address, Token: token, Away: func(err error) { away <- err }})
	if err != nil {
		t.Fatal(err)
	}
	h := house{fake: r.fake, client: c}
	run := h.apply(t, apitest.Slow, true)
	views, err := c.WatchRun(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	for v := range views {
		if v.Phase == stacks.PhaseApplying {
			break
		}
	}
	r.down()
	var unreachable *api.UnreachableError
	if err := <-away; !errors.As(err, &unreachable) {
		t.Errorf("away: %v", err)
	}
	r.fake.Finish(run.ID)
	r.up(t)
	defer r.down()
	got := phases(t, views)
	if err := <-away; err != nil {
		t.Errorf("back: %v", err)
	}
	if len(got) == 0 || got[len(got)-1] != stacks.PhaseDone {
		t.Errorf("phases after the restart: %v", got)
	}
}

func TestWatchGivesUp(t *testing.T) {
	r := &restartable{address: "127.0.0.1:0", fake: apitest.New()}
	r.up(t)
	c, err := api.NewHTTPClient(api.ClientOptions{URL: "http://" + r.address, Token: token, GiveUp: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h := house{fake: r.fake, client: c}
	run := h.apply(t, apitest.Slow, true)
	views, err := c.WatchRun(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-views
	r.down()
	if got := phases(t, views); slices.ContainsFunc(got, stacks.Phase.Ended) {
		t.Errorf("an end that nobody saw: %v", got)
	}
}

func TestNewHTTPClientRefuses(t *testing.T) {
	for address, ok := range map[string]bool{
		"http://127.0.0.1:7480": true, "http://localhost:1": true, "http://[::1]:1": true, "https://meridian.example.org": true, "https://10.0.0.1": true,
		"http://10.0.0.1:7480": false, "http://meridian.example.org": false, "ftp://127.0.0.1": false, "127.0.0.1:7480": false, "": false,
		"http://user:pass@127.0.0.1": false, "http://127.0.0.1/?a=b": false,
	} {
		if _, err := api.NewHTTPClient(api.ClientOptions{URL: address}); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestForeignServers answers that are none of Meridian's become errors, and the token follows no redirect.
func TestForeignServers(t *testing.T) {
	tests := map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"html":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "something else than Meridian's JSON"},
		"plain 404": {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "is no Meridian server"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, "is no Meridian server"},
		"bad 500": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "{")
		}, "no readable problem"},
		"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "no Meridian server answers"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			srv := &http.Server{Handler: tc.handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
			go srv.Serve(l)
			defer srv.Close()
			_, err := dial(t, "http://"+l.Addr().String(), token).Version(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), token) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}
