package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"meridian/orchestrator"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/temporal"
	"meridian/stacks"
)

// The secrets that are no rows: where each is kept, in a file that only its owner may read.
var secretFiles = map[string]string{"API token": "token", "Temporal's key": temporal.KeyFileName, "keyring": keyring.FileName}

// TestNoSecretInClear tells a story on the real server with its Web UI, and looks for every secret that was made in every byte under the
// data directory, all histories, logs, answers, process arguments and environments, in clear, raw, base64 and hex.
//
// Known exceptions, each asserted to be the only one: the three key files; the environment of terraform, its shim and its plugin while a
// step runs, and of pg_dump, for the administrator's password; and, for a link's password alone, the catalog pg_subscription of the link's
// target with the log of its changes: PostgreSQL needs that one in clear.
func TestNoSecretInClear(t *testing.T) {
	t.Parallel()
	ledgerFile()
	s := newSite(t)
	processes := watchProcesses(t)
	srv := s.serve(func(cmd *exec.Cmd) {
		cmd.Args = slices.Replace(cmd.Args, slices.Index(cmd.Args, "--ui=false"), slices.Index(cmd.Args, "--ui=false")+1, "--ui")
	})
	heard := &heard{srv: srv}
	submit := func(spec string, want stacks.Phase) orchestrator.RunView {
		t.Helper()
		res, err := srv.Submit(t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Yes: true, Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		heard.get("/runs/" + res.Runs[0].ID + "/watch") // until the run has ended
		v := srv.wait(res.Runs[0].ID)
		if v.Phase != want {
			t.Fatalf("run %s is %s, want %s: %s\n%s", v.ID, v.Phase, want, v.Message, logOf(srv, v.ID))
		}
		return v
	}
	submit(orders("orders"), stacks.PhaseDone)
	rows := s.look()
	rows.query("orders", "ankara", "create table keyless (id int)")
	failed := submit(orders("orders", `max_connections: "50"`, `max_connections: "60"`), stacks.PhaseFailed) // errors speak too
	hay := newHaystack(s.secrets(rows, srv)...)
	password, err := rows.catalog.Secret(t.Context(), rows.newest("orders").Incarnation, "user/orders_app")
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.store.Close(); err != nil { // before its files are read: see store.lockFiles
		t.Fatal(err)
	}

	heard.all(failed.ID)
	heard.cli("describe", "orders")
	heard.cli("connect", "orders", "istanbul")
	heard.cli("run", "logs", failed.ID)
	for where, text := range heard.texts {
		if found := hay.find(text); len(found) > 0 {
			t.Errorf("%s tells %v", where, found)
		}
	}
	revealed := heard.post("/databases/default/orders/connect", `{"reveal":true,"region":"ankara"}`)
	if !bytes.Contains(revealed, []byte(password)) || len(hay.find(revealed)) == 0 {
		t.Errorf("a password that was asked for is not found in %s: the search finds nothing", revealed)
	}

	links := s.search(hay)
	if links["istanbul"] == 0 {
		t.Error("the password of the link was not found in the catalog of its target: the search finds nothing")
	}
	if len(links) != 1 {
		t.Errorf("passwords of links were found in the servers of %v, want istanbul alone", links)
	}
	v, err := srv.Destroy(t.Context(), stacks.DefaultNamespace, "orders", "test")
	if err != nil {
		t.Fatal(err)
	}
	v = srv.wait(v.ID)
	if _, err := srv.Approve(t.Context(), v.ID, v.PlanDigest, "test"); err != nil {
		t.Fatal(err)
	}
	srv.wantDone(v.ID)
	if links := s.search(hay); len(links) > 0 {
		t.Errorf("passwords of links are left in %v", links)
	}
	srv.stop()
	processes.check(hay)

	live := s.start()
	histories := live.payloads()
	live.close()
	if len(histories) < 4 {
		t.Errorf("%d histories, want those of funnel, runs and regions", len(histories))
	}
	for id, text := range histories {
		if found := hay.find(text); len(found) > 0 {
			t.Errorf("the history of %s holds %v", id, found)
		}
	}
	s.search(hay)
}

// secrets lists all that the site has made.
func (s *site) secrets(m *meridian, srv *server) []secret {
	s.t.Helper()
	var out []secret
	var names []string
	err := m.store.Read(context.Background(), func(tx *store.Tx) (err error) {
		names, err = column(tx, "SELECT incarnation || ' ' || name FROM secrets")
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, row := range names {
		incarnation, name, _ := strings.Cut(row, " ")
		value, err := m.catalog.Secret(context.Background(), incarnation, name)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, secret{name: name, text: value})
	}
	if len(out) != 4 { // two administrators, a user, a link
		s.t.Errorf("secrets = %v, want those of two regions, a user and a link", names)
	}
	for name, file := range secretFiles {
		text, err := os.ReadFile(filepath.Join(s.data, file))
		if err != nil {
			s.t.Fatal(err)
		}
		if name != "keyring" {
			out = append(out, secret{name: name, text: strings.TrimSpace(string(text))})
			continue
		}
		var ring struct{ Keys []struct{ Key []byte } }
		if err := json.Unmarshal(text, &ring); err != nil || len(ring.Keys) == 0 {
			s.t.Fatalf("keyring: %v", err)
		}
		out = append(out, secret{name: name, text: string(ring.Keys[0].Key)})
	}
	if srv.token == "" {
		s.t.Error("the server has no token")
	}
	return out
}

// search looks into every byte of every file of the site, and beside it (the server's log). It returns how often a link's password was
// found where PostgreSQL keeps it, by region.
func (s *site) search(hay *haystack) map[string]int {
	s.t.Helper()
	links, files := map[string]int{}, 0
	for _, root := range []string{s.data, s.aside()} {
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // a file of a running server may vanish
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil //nolint:nilerr // the same
			}
			files++
			for _, f := range hay.find(text) {
				switch region, ok := subscriptionFile(path); {
				case secretFiles[f.secret] != "" && path == filepath.Join(s.data, secretFiles[f.secret]):
					if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
						s.t.Errorf("%s has mode %v, want 0600", path, info.Mode())
					}
				case ok && strings.HasPrefix(f.secret, "link/") && f.form == "clear":
					links[region]++
				default:
					s.t.Errorf("%s holds %s", path, f)
				}
			}
			return nil
		})
	}
	s.t.Logf("looked into %d files", files)
	return links
}

// subscriptionFile reports whether a file of a PostgreSQL server holds shared catalogs, pg_subscription among them, or the log of their
// changes, and of which region.
func subscriptionFile(path string) (region string, ok bool) {
	home, in, ok := strings.Cut(path, "/data/")
	return regionOf(home), ok && (strings.HasPrefix(in, "global/") || strings.HasPrefix(in, "pg_wal/"))
}

// heard is everything that a server says to its clients, by where.
type heard struct {
	srv   *server
	texts map[string][]byte
}

func (h *heard) keep(where string, text []byte) {
	if h.texts == nil {
		h.texts = map[string][]byte{}
	}
	h.texts[where] = text
}

// get keeps what one route answers, to its end.
func (h *heard) get(path string) {
	h.srv.site.t.Helper()
	url := h.srv.url + "/api/v1" + path
	if strings.HasPrefix(path, "/temporal/") {
		url = h.srv.url + path
	}
	h.keep("GET "+path, h.do(http.MethodGet, url, ""))
}

func (h *heard) post(path, body string) []byte {
	h.srv.site.t.Helper()
	return h.do(http.MethodPost, h.srv.url+"/api/v1"+path, body)
}

func (h *heard) do(method, url, body string) []byte {
	t := h.srv.site.t
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.srv.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || len(text) == 0 {
		t.Errorf("%s %s: %s, %d bytes, %v: %.200s", method, url, resp.Status, len(text), err, text)
	}
	for name, values := range resp.Header {
		text = append(text, name+": "+strings.Join(values, " ")...)
	}
	return text
}

// all asks everything that a client can ask.
func (h *heard) all(run string) {
	h.srv.site.t.Helper()
	for _, path := range []string{
		"/version", "/databases", "/databases/default/orders", "/runs?namespace=default&name=orders&limit=50", "/runs/" + run, "/runs/" + run + "/logs?limit=5000",
		"/temporal/", "/temporal/api/v1/namespaces/meridian/workflows", "/temporal/api/v1/settings",
	} {
		h.get(path)
	}
	h.keep("connect", h.post("/databases/default/orders/connect", `{"region":"istanbul"}`))
	spec, err := json.Marshal(orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: orders("orders")}}})
	if err != nil {
		h.srv.site.t.Fatal(err)
	}
	h.keep("render", h.post("/render", string(spec)))
	h.keep("login", h.post("/login", `{}`))
}

// cli keeps what a command prints.
func (h *heard) cli(args ...string) {
	h.srv.site.t.Helper()
	text, err := command(append(args, "--data", h.srv.site.data)...).CombinedOutput()
	if err != nil || len(text) == 0 {
		h.srv.site.t.Errorf("meridian %v: %v\n%s", args, err, text)
	}
	h.keep("meridian "+strings.Join(args, " "), text)
}

// payloads are all histories, as bytes in which the payloads stand as they are.
func (m *meridian) payloads() map[string][]byte {
	m.site.t.Helper()
	ctx := context.Background()
	out := map[string][]byte{}
	list, err := m.sdk.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
	if err != nil {
		m.site.t.Fatal(err)
	}
	for _, e := range list.GetExecutions() {
		id := e.GetExecution()
		text, err := proto.Marshal(e)
		if err != nil {
			m.site.t.Fatal(err)
		}
		for events := m.sdk.GetWorkflowHistory(ctx, id.GetWorkflowId(), id.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
			event, err := events.Next()
			if err != nil {
				m.site.t.Fatal(err)
			}
			line, err := proto.Marshal(event)
			if err != nil {
				m.site.t.Fatal(err)
			}
			text = append(text, line...)
		}
		out[fmt.Sprintf("%s %s", id.GetWorkflowId(), id.GetRunId())] = text
	}
	return out
}
