package module

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

// TestCommandGate asks gates that are commands: each is told the region's outputs, and what it says is kept short.
func TestCommandGate(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		want   providers.ReadyState
		says   string
	}{
		"ready":            {script: `[ "$MERIDIAN_REGION $MERIDIAN_OUTPUTS" = 'ankara {"host":"h"}' ]`, want: providers.StateReady},
		"not yet":          {script: "echo still copying; exit 3", want: providers.StatePending, says: "still copying"},
		"says a lot":       {script: "yes wait | head -c 5000000; exit 1", want: providers.StatePending, says: "wait wait"},
		"takes nothing on": {script: `[ -z "$SECRET_OF_THE_SERVER" ]`, want: providers.StateReady},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SECRET_OF_THE_SERVER", "x")
			in := providers.EndpointInput{Outputs: map[string]any{"host": "h"}, ModuleInput: providers.ModuleInput{Region: stacks.Region{Name: "ankara"}}}
			got, err := run(t.Context(), []string{"sh", "-c", test.script}, in)
			if err != nil || got.State != test.want || !strings.Contains(got.Message, test.says) || len(got.Message) > maxWords+3 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	if got, err := run(t.Context(), []string{"/nonexistent"}, providers.EndpointInput{}); err != nil || got.State != providers.StateFailed {
		t.Errorf("a command that is not there: %+v, %v", got, err)
	}
	h := head{left: 3}
	for range 2 {
		if n, err := h.Write([]byte("ab")); n != 2 || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
	}
	if h.text.String() != "aba" {
		t.Errorf("kept %q", h.text.String())
	}
}

// TestLocalSource refuses paths that lead out of what is packed: a server would look at its own files.
func TestLocalSource(t *testing.T) {
	for source, ok := range map[string]bool{
		"./db": true, "../db": true, "/srv/db": true, "./repo//modules/db": true,
		"./repo//../../etc": false, "./repo///etc": false, "./repo//modules/../../x": false, "./repo//": false,
	} {
		ds := New().ValidateRegion(t.Context(), stacks.Database{Spec: stacks.DatabaseSpec{Regions: []stacks.Region{{Name: "ankara"}}}},
			stacks.Region{Name: "ankara", Provider: Name, Settings: stacks.Settings{"source": source}})
		refused := false
		for _, d := range ds {
			refused = refused || d.Rule == "module.source"
		}
		if refused == ok {
			t.Errorf("%s: %+v", source, ds)
		}
	}
}

// gated is a region with these settings, after an apply with these outputs.
func gated(settings stacks.Settings, outputs map[string]any) providers.EndpointInput {
	settings["source"] = "./module"
	return providers.EndpointInput{ModuleInput: providers.ModuleInput{Region: stacks.Region{Name: "ankara", Settings: settings}}, Outputs: outputs}
}

// TestGates asks each gate of real sockets: ready, not yet, and what never can be.
func TestGates(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/down":
			w.WriteHeader(http.StatusBadGateway)
		case "/slow":
			<-r.Context().Done()
		}
	}))
	t.Cleanup(web.Close)
	address := strings.TrimPrefix(web.URL, "http://")
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := l.Addr().String()
	_ = l.Close()
	ready := func(r map[string]any) stacks.Settings { return stacks.Settings{"ready": r} }
	for name, test := range map[string]struct {
		in   providers.EndpointInput
		want providers.ReadyState
		says string
	}{
		"none, where nothing is said":     {in: gated(stacks.Settings{}, nil), want: providers.StateReady},
		"none, beside an address":         {in: gated(stacks.Settings{"outputs": map[string]any{"endpoint": "e"}, "ready": map[string]any{"gate": "none"}}, map[string]any{"e": silent}), want: providers.StateReady},
		"tcp by itself":                   {in: gated(stacks.Settings{"outputs": map[string]any{"endpoint": "e"}}, map[string]any{"e": address}), want: providers.StateReady},
		"tcp, of a fixed host":            {in: gated(stacks.Settings{"endpoint": map[string]any{"host": host, "port": float64(port)}}, nil), want: providers.StateReady},
		"tcp, nothing accepts":            {in: gated(stacks.Settings{"outputs": map[string]any{"endpoint": "e"}}, map[string]any{"e": silent}), want: providers.StatePending, says: "nothing accepts at " + silent},
		"http":                            {in: gated(ready(map[string]any{"gate": "http", "url": web.URL + "/"}), nil), want: providers.StateReady},
		"http, of an output":              {in: gated(ready(map[string]any{"gate": "http", "output": "urls.0"}), map[string]any{"urls": []any{web.URL}}), want: providers.StateReady},
		"http, a redirection is no 2xx":   {in: gated(ready(map[string]any{"gate": "http", "url": web.URL + "/moved"}), nil), want: providers.StatePending, says: "302 Found"},
		"http, the status that is wanted": {in: gated(ready(map[string]any{"gate": "http", "url": web.URL + "/moved", "status": 302.0}), nil), want: providers.StateReady},
		"http, not the status":            {in: gated(ready(map[string]any{"gate": "http", "url": web.URL + "/", "status": 204.0}), nil), want: providers.StatePending, says: "200 OK"},
		"http, an error of the server":    {in: gated(ready(map[string]any{"gate": "http", "url": web.URL + "/down"}), nil), want: providers.StatePending, says: "502 Bad Gateway"},
		"http, nothing answers":           {in: gated(ready(map[string]any{"gate": "http", "url": "http://" + silent + "/?token=x"}), nil), want: providers.StatePending, says: silent + " does not answer yet"},
		"http, too slow":                  {in: gated(ready(map[string]any{"gate": "http", "url": web.URL + "/slow", "timeout": "100ms"}), nil), want: providers.StatePending, says: "does not answer yet"},
		"http, an output that is no URL":  {in: gated(ready(map[string]any{"gate": "http", "output": "u"}), map[string]any{"u": "nowhere"}), want: providers.StateFailed, says: "want http://HOST/"},
		"command":                         {in: gated(ready(map[string]any{"gate": "command", "command": []any{"sh", "-c", `[ "$MERIDIAN_OUTPUTS" = '{"a":1}' ]`}}), map[string]any{"a": 1}), want: providers.StateReady},
		"command, not yet":                {in: gated(ready(map[string]any{"gate": "command", "command": []any{"sh", "-c", "echo wait; exit 1"}}), nil), want: providers.StatePending, says: "wait"},
		"command, too slow":               {in: gated(ready(map[string]any{"gate": "command", "timeout": "100ms", "command": []any{"sh", "-c", "while :; do :; done"}}), nil), want: providers.StatePending, says: "deadline"},
		"command, not there":              {in: gated(ready(map[string]any{"gate": "command", "command": []any{"/nonexistent"}}), nil), want: providers.StateFailed, says: "cannot be run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := New().Gate(t.Context(), test.in)
			if err != nil || got.State != test.want || !strings.Contains(got.Message, test.says) || strings.Contains(got.Message, "token") {
				t.Errorf("%+v, %v, want %s with %q", got, err, test.want, test.says)
			}
		})
	}
	if _, err := New().Gate(t.Context(), gated(ready(map[string]any{"gate": "http", "output": "u"}), nil)); !errors.Is(err, providers.ErrPermanent) {
		t.Errorf("an output that is not there: %v", err)
	}
}

// TestEndpoint reads endpoints by all that a spec can say of them.
func TestEndpoint(t *testing.T) {
	outputs := map[string]any{
		"host": "h", "port": 5432.0, "text": "5433", "pair": "h:5434", "six": "[::1]:5435", "bare": "h", "url": "postgres://u@h:5436/db", "null": nil,
		"cluster": map[string]any{"hosts": []any{"a", "b"}, "port": "5437"}, "wide": 70000.0, "user": "root",
	}
	said := func(o, e map[string]any) providers.EndpointInput {
		return gated(stacks.Settings{"outputs": o, "endpoint": e}, outputs)
	}
	for name, test := range map[string]struct {
		in   providers.EndpointInput
		want string
		fail string
	}{
		"nothing is said":             {in: said(nil, nil), want: ":0 "},
		"host and port":               {in: said(map[string]any{"host": "host", "port": "port", "user": "user"}, nil), want: "h:5432 root"},
		"a port as text":              {in: said(map[string]any{"host": "host", "port": "text"}, nil), want: "h:5433 "},
		"host:port":                   {in: said(map[string]any{"endpoint": "pair"}, nil), want: "h:5434 "},
		"[host]:port":                 {in: said(map[string]any{"endpoint": "six"}, nil), want: "::1:5435 "},
		"a host with the spec's port": {in: said(map[string]any{"endpoint": "bare"}, map[string]any{"port": 1234.0}), want: "h:1234 "},
		"a URL":                       {in: said(map[string]any{"endpoint": "url"}, nil), want: "h:5436 "},
		"inside of a value":           {in: said(map[string]any{"host": "cluster.hosts.1", "port": "cluster.port"}, nil), want: "b:5437 "},
		"all in the spec":             {in: said(nil, map[string]any{"host": "x", "port": 1.0, "user": "me"}), want: "x:1 me"},
		"no such output":              {in: said(map[string]any{"endpoint": "none"}, nil), fail: "the state has no output none"},
		"nothing inside":              {in: said(map[string]any{"host": "host.x", "port": "port"}, nil), fail: "output host.x has nothing inside at x"},
		"no such item":                {in: said(map[string]any{"host": "cluster.hosts.2", "port": "port"}, nil), fail: "2 items and no 2"},
		"no such attribute":           {in: said(map[string]any{"host": "cluster.name", "port": "port"}, nil), fail: "has no name"},
		"null":                        {in: said(map[string]any{"host": "null", "port": "port"}, nil), fail: "output null is null"},
		"no text":                     {in: said(map[string]any{"host": "port", "port": "port"}, nil), fail: "output port is no text"},
		"no port":                     {in: said(map[string]any{"host": "host", "port": "wide"}, nil), fail: "output wide is no port"},
		"neither port":                {in: said(map[string]any{"host": "host"}, nil), fail: "neither host nor port"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := New().Endpoint(test.in)
			switch got := fmt.Sprintf("%s:%d %s", e.Host, e.Port, e.User); {
			case test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail) || !errors.Is(err, providers.ErrPermanent)):
				t.Errorf("error is %v, want %q", err, test.fail)
			case test.fail == "" && (err != nil || got != test.want):
				t.Errorf("%s, %v, want %s", got, err, test.want)
			}
		})
	}
}
