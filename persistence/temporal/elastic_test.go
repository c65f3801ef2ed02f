package temporal

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"go.temporal.io/api/workflowservice/v1"

	"meridian/persistence/temporal/cassandratest"
	"meridian/persistence/temporal/opensearchtest"
	"meridian/persistence/temporal/tlstest"
)

// guarded puts TLS and a password before a cluster, as one of users has.
func guarded(t *testing.T, cluster string, ca *tlstest.Authority, user, password string) string {
	t.Helper()
	to, err := url.Parse(cluster)
	if err != nil {
		t.Fatal(err)
	}
	lead := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		r.Header.Del("Authorization")
		lead.ServeHTTP(w, r)
	}))
	pair, err := tls.LoadX509KeyPair(ca.Issue("search.test"))
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// ask asks a cluster something past everything.
func ask(t *testing.T, method, where, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, where, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %s %s %v", method, where, answer.Status, text, err)
	}
	return string(text)
}

// TestOpenSearch has Temporal's lists in a real OpenSearch, by TLS and a password: the index is made, older ones get the fields that they lack, others are refused, and
// workflows are listed and searched, also after a restart.
func TestOpenSearch(t *testing.T) {
	t.Parallel()
	search := opensearchtest.Start(t)
	ca := tlstest.New(t)
	const password = "a-password-of-the-cluster"
	where := guarded(t, search.URL, ca, "meridian", password)
	settings := onCassandra(cassandratest.Start(t, "dc1", true, nil))
	settings.Visibility = &Visibility{Elasticsearch: &Elasticsearch{
		URL: where, User: "meridian", Password: &Secret{Command: []string{"echo", password}}, TLS: &TLS{CA: ca.CA, ServerName: "search.test"},
	}}
	lists := func() SchemaState {
		t.Helper()
		states, err := LookSchemas(t.Context(), &settings)
		if err != nil || len(states) != 2 {
			t.Fatalf("schemas: %+v, %v", states, err)
		}
		return states[1]
	}
	want := func(state string) {
		t.Helper()
		if s := lists(); s.State != state {
			t.Fatalf("the index is %s (%s), want %s", s.State, s.Detail, state)
		}
	}
	log := logTo(os.Stderr)
	want(StateAbsent)
	if err := SetUpSchemas(t.Context(), &settings, log); err != nil {
		t.Fatal(err)
	}
	want(StateCurrent)
	if err := SetUpSchemas(t.Context(), &settings, log); err != nil {
		t.Errorf("set up twice: %v", err)
	}

	dir := t.TempDir()
	s := startOn(t, dir, settings)
	c := clientOf(t, s)
	startGreeter(t, c)
	runGreet(t, c, "first", map[string]any{AttrRun: "r1"})
	runGreet(t, c, "second", map[string]any{AttrRun: "r2"})
	eventuallyLong(t, "a search finds the run", func() bool { return counted(t, c, AttrRun+" = 'r1'") == 1 })
	eventuallyLong(t, "the list has both", func() bool {
		list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: "WorkflowType = 'greetFlow' AND ExecutionStatus = 'Completed'"})
		return err == nil && len(list.Executions) == 2
	})
	c.Close()
	s.Stop()
	s = startOn(t, dir, settings)
	if n := counted(t, clientOf(t, s), AttrRun+" = 'r2'"); n != 1 {
		t.Errorf("after a restart a search finds %d of one run", n)
	}

	older, foreign, damaged := *settings.Visibility.Elasticsearch, *settings.Visibility.Elasticsearch, *settings.Visibility.Elasticsearch
	older.Index, foreign.Index, damaged.Index = "older", "foreign", "damaged"
	ask(t, http.MethodPut, search.URL+"/older", `{"mappings": {"dynamic": "false", "properties": {"NamespaceId": {"type": "keyword"}, "RunId": {"type": "keyword"}}}}`)
	ask(t, http.MethodPut, search.URL+"/foreign", `{"mappings": {"properties": {"price": {"type": "long"}}}}`)
	ask(t, http.MethodPut, search.URL+"/damaged", `{"mappings": {"properties": {"NamespaceId": {"type": "text"}}}}`)
	settings.Visibility.Elasticsearch = &older
	want(StateOlder)
	e := &elasticPlace{&older}
	db, err := e.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.bring(t.Context(), newToolLogger(log)); err != nil {
		t.Fatal(err)
	}
	want(StateCurrent)

	for name, test := range map[string]struct {
		change func(e *Elasticsearch)
		want   string
	}{
		"a foreign index":     {func(e *Elasticsearch) { *e = foreign }, "it holds something else: price"},
		"fields of others":    {func(e *Elasticsearch) { *e = damaged }, "NamespaceId (text)"},
		"a wrong password":    {func(e *Elasticsearch) { e.Password = &Secret{Command: []string{"echo", "wrong"}} }, "refuses this user"},
		"another authority":   {func(e *Elasticsearch) { e.TLS = &TLS{CA: tlstest.New(t).CA, ServerName: "search.test"} }, "TLS with the cluster"},
		"nobody there":        {func(e *Elasticsearch) { e.URL = "http://127.0.0.1:1" }, "cannot be reached"},
		"something else":      {func(e *Elasticsearch) { e.URL = elsewhere(t, `<html>hello</html>`) }, "does not speak JSON"},
		"another kind of API": {func(e *Elasticsearch) { e.URL = elsewhere(t, `{"version": {"number": "6.8.0"}}`) }, "no Elasticsearch 7"},
	} {
		t.Run(name, func(t *testing.T) {
			e := *settings.Visibility.Elasticsearch
			test.change(&e)
			findings := placeFindings(t.Context(), &elasticPlace{&e}, 0)
			text, _ := json.Marshal(findings)
			if findings[0].State != FindingFail || !strings.Contains(string(text), test.want) || strings.Contains(string(text), password) {
				t.Errorf("findings are %s, want %q and no password", text, test.want)
			}
		})
	}
}

// elsewhere is a server that is no search engine.
func elsewhere(t *testing.T, says string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, says) }))
	t.Cleanup(s.Close)
	return s.URL
}

func TestCompareIndex(t *testing.T) {
	want := template{number: 3, version: "3", checksum: "sum", fields: map[string]string{"A": "keyword", "B": "long"}}
	for name, test := range map[string]struct {
		version, checksum string
		fields            map[string]string
		state             string
	}{
		"nothing yet":               {"", "", nil, StatePartial},
		"ours":                      {"3", "sum", map[string]string{"A": "keyword", "B": "long", "Custom": "text"}, StateCurrent},
		"of Temporal's own tool":    {"", "", map[string]string{"A": "keyword", "B": "long"}, StateCurrent},
		"an older one":              {"2", "other", map[string]string{"A": "keyword"}, StateOlder},
		"an older one of the tool":  {"", "", map[string]string{"A": "keyword"}, StateOlder},
		"an upgrade that was cut":   {"2", "other", map[string]string{"A": "keyword", "B": "long"}, StateCurrent},
		"a newer one":               {"4", "other", map[string]string{"A": "keyword", "B": "long", "C": "long"}, StateNewer},
		"a field is gone":           {"3", "sum", map[string]string{"A": "keyword"}, StateDamaged},
		"a field of another type":   {"3", "sum", map[string]string{"A": "text", "B": "long"}, StateDamaged},
		"other files of this build": {"3", "other", map[string]string{"A": "keyword", "B": "long"}, StateDamaged},
		"somebody else's":           {"", "", map[string]string{"price": "long"}, StateForeign},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(map[string]any{"_meta": map[string]any{"meridian": elasticRecord{test.version, test.checksum}}})
			if err != nil {
				t.Fatal(err)
			}
			var have elasticMapping
			if err := json.Unmarshal(text, &have); err != nil {
				t.Fatal(err)
			}
			have.Properties = map[string]struct {
				Type string `json:"type"`
			}{}
			for name, kind := range test.fields {
				have.Properties[name] = struct {
					Type string `json:"type"`
				}{kind}
			}
			var s SchemaState
			compareIndex(&s, have, want)
			if s.State != test.state {
				t.Errorf("it is %s (%s), want %s", s.State, s.Detail, test.state)
			}
		})
	}
}
