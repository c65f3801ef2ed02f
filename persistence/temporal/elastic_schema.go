package temporal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/server/schema"
)

// elasticPlace is an index of a search engine. Temporal's schema for it is one template a version, of which the newer ones only add fields.
type elasticPlace struct{ settings *Elasticsearch }

var _ schemaPlace = (*elasticPlace)(nil)

// elasticTimeout bounds one request.
const elasticTimeout = 30 * time.Second

const elasticTemplates = "elasticsearch/visibility/versioned"

func (p *elasticPlace) what() string { return "lists" }

func (p *elasticPlace) where() string { return p.settings.URL + " (index " + p.settings.index() + ")" }

// elasticIndexOf is a connection to a cluster.
type elasticIndexOf struct {
	place    *elasticPlace
	client   *http.Client
	password string
}

var _ opened = (*elasticIndexOf)(nil)

// connect wants a cluster that lets us in and is Elasticsearch 7 or newer, or OpenSearch.
func (p *elasticPlace) connect(ctx context.Context) (opened, error) {
	e := &elasticIndexOf{place: p}
	var err error
	if e.password, err = p.settings.password(ctx); err != nil {
		return nil, err
	}
	if e.client, err = p.settings.client(); err != nil {
		return nil, err
	}
	var hello struct {
		Version struct {
			Number       string `json:"number"`
			Distribution string `json:"distribution"`
		} `json:"version"`
	}
	if _, err := e.ask(ctx, http.MethodGet, "/", nil, &hello); err != nil {
		e.Close()
		return nil, err
	}
	major, _, _ := strings.Cut(hello.Version.Number, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 && hello.Version.Distribution != "opensearch" {
		e.Close()
		return nil, fmt.Errorf("what answers there is no Elasticsearch 7 or newer and no OpenSearch (version %q): name another url", hello.Version.Number)
	}
	return e, nil
}

func (e *elasticIndexOf) Close() { e.client.CloseIdleConnections() }

func (e *elasticIndexOf) safe(context.Context) error { return nil }

func (e *elasticIndexOf) findings(context.Context, int) []Finding { return nil }

// elasticMapping are the fields of an index, and what we wrote beside them.
type elasticMapping struct {
	Meta struct {
		Meridian elasticRecord `json:"meridian"`
	} `json:"_meta"`
	Properties map[string]struct {
		Type string `json:"type"`
	} `json:"properties"`
}

// elasticRecord is our own record beside Temporal's fields.
type elasticRecord struct {
	Version  string `json:"version,omitempty"`
	Checksum string `json:"checksum,omitempty"`
}

// examine compares the index's fields with the newest template's.
func (e *elasticIndexOf) examine(ctx context.Context) (SchemaState, error) {
	want, err := elasticTemplate()
	if err != nil {
		return SchemaState{}, err
	}
	s := SchemaState{Part: e.place.what(), Where: e.place.where(), Want: want.version}
	var answer map[string]struct {
		Mappings elasticMapping `json:"mappings"`
	}
	status, err := e.ask(ctx, http.MethodGet, e.path("_mapping"), nil, &answer)
	if status == http.StatusNotFound {
		s.State, s.Steps = StateAbsent, []string{want.version}
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if len(answer) != 1 { // an alias of several
		s.State, s.Detail = StateForeign, fmt.Sprintf("%s stands for %d indexes", e.place.settings.index(), len(answer))
		return s, nil
	}
	for _, index := range answer {
		compareIndex(&s, index.Mappings, want)
	}
	return s, nil
}

// compareIndex says how an index's fields are. It is pure.
func compareIndex(s *SchemaState, have elasticMapping, want template) {
	s.Version = have.Meta.Meridian.Version
	var missing, other []string
	for _, name := range slices.Sorted(maps.Keys(want.fields)) {
		switch field, there := have.Properties[name]; {
		case !there:
			missing = append(missing, name)
		case field.Type != want.fields[name]:
			other = append(other, name+" ("+field.Type+")")
		}
	}
	switch number, _ := strconv.Atoi(s.Version); {
	case len(have.Properties) == 0 && s.Version == "":
		s.State = StatePartial
	case len(missing) == len(want.fields):
		s.State, s.Detail = StateForeign, "it holds something else: "+brief(slices.Sorted(maps.Keys(have.Properties)))
	case len(other) > 0:
		s.State, s.Detail = StateDamaged, "fields are of another type: "+brief(other)
	case number > want.number:
		s.State = StateNewer
	case len(missing) > 0 && number == want.number:
		s.State, s.Detail = StateDamaged, "fields are missing: "+brief(missing)
	case len(missing) > 0:
		s.State, s.Steps = StateOlder, []string{want.version}
	case number == want.number && have.Meta.Meridian.Checksum != want.checksum:
		s.State, s.Detail = StateDamaged, "it was set up from other files than this build's, though they call themselves the same version"
	default:
		s.State, s.Version = StateCurrent, want.version // also of Temporal's own tool
	}
}

// bring makes the index, or adds the fields that it lacks. Of two that do so at once, both end well.
func (e *elasticIndexOf) bring(ctx context.Context, _ toolLogger) error {
	want, err := elasticTemplate()
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"settings": want.settings, "mappings": want.mappings})
	if err != nil {
		return err
	}
	status, err := e.ask(ctx, http.MethodPut, e.path(), body, nil)
	if err != nil && status != http.StatusBadRequest {
		return fmt.Errorf("make the index: %w", err)
	}
	made := err
	s, err := e.examine(ctx)
	switch {
	case err != nil:
		return err
	case s.refusal() != nil:
		return s.refusal()
	case s.State == StateAbsent: // it was no index that stood in the way
		return fmt.Errorf("make the index: %w", made)
	case s.State == StateNewer:
		return nil
	}
	if body, err = json.Marshal(want.mappings); err != nil {
		return err
	}
	if _, err := e.ask(ctx, http.MethodPut, e.path("_mapping"), body, nil); err != nil {
		return fmt.Errorf("add fields to the index: %w", err)
	}
	var health struct {
		TimedOut bool `json:"timed_out"`
	}
	if _, err := e.ask(ctx, http.MethodGet, "/_cluster/health/"+url.PathEscape(e.place.settings.index())+"?wait_for_status=yellow&timeout=20s", nil, &health); err != nil || health.TimedOut {
		return errors.Join(err, errors.New("the index does not become usable: look at the cluster's health"))
	}
	return nil
}

// template is Temporal's newest schema of the index.
type template struct {
	number             int
	version, checksum  string
	settings, mappings map[string]any
	fields             map[string]string // types by name
}

// elasticTemplate reads it, with our record in its mappings.
func elasticTemplate() (template, error) {
	var t template
	entries, err := fs.ReadDir(schema.Assets(), elasticTemplates)
	if err != nil {
		return t, fmt.Errorf("temporal's templates: %w", err)
	}
	for _, entry := range entries {
		if n, err := strconv.Atoi(strings.TrimPrefix(entry.Name(), "v")); err == nil {
			t.number = max(t.number, n)
		}
	}
	t.version = strconv.Itoa(t.number)
	text, err := fs.ReadFile(schema.Assets(), fmt.Sprintf("%s/v%d/index_template_v7.json", elasticTemplates, t.number))
	if err != nil {
		return t, fmt.Errorf("temporal's templates: %w", err)
	}
	var file struct {
		Settings map[string]any `json:"settings"`
		Mappings map[string]any `json:"mappings"`
	}
	var typed struct {
		Mappings elasticMapping `json:"mappings"`
	}
	if err := errors.Join(json.Unmarshal(text, &file), json.Unmarshal(text, &typed)); err != nil {
		return t, fmt.Errorf("temporal's templates: %w", err)
	}
	sum := sha256.Sum256(text)
	t.checksum = hex.EncodeToString(sum[:])
	t.settings, t.mappings, t.fields = file.Settings, file.Mappings, map[string]string{}
	t.mappings["_meta"] = map[string]any{"meridian": elasticRecord{Version: t.version, Checksum: t.checksum}}
	for name, field := range typed.Mappings.Properties {
		t.fields[name] = field.Type
	}
	return t, nil
}

func (e *elasticIndexOf) path(below ...string) string {
	return "/" + strings.Join(append([]string{url.PathEscape(e.place.settings.index())}, below...), "/")
}

// ask makes one request and reads its answer; the status is 0 where there was none.
func (e *elasticIndexOf) ask(ctx context.Context, method, path string, body []byte, into any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, elasticTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(e.place.settings.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("temporal.visibility.elasticsearch.url: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if e.place.settings.User != "" {
		r.SetBasicAuth(e.place.settings.User, e.password)
	}
	answer, err := e.client.Do(r)
	if err != nil {
		return 0, explainElastic(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	if err != nil {
		return answer.StatusCode, fmt.Errorf("reading an answer: %w", err)
	}
	switch code := answer.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return code, fmt.Errorf("it refuses this user (%s): check user and password, and that the user may make and write the index", answer.Status)
	case code >= http.StatusMultipleChoices:
		return code, fmt.Errorf("it answers %s: %s", answer.Status, text[:min(len(text), 300)])
	case into == nil:
		return code, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return answer.StatusCode, errors.New("what answers there does not speak JSON: name the url of an Elasticsearch or OpenSearch")
	}
	return answer.StatusCode, nil
}

// explainElastic says what to do about a cluster that did not answer.
func explainElastic(err error) error {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return fmt.Errorf("TLS with the cluster does not come about: %w: name its authority in tls.ca, or the name in its certificate in tls.serverName", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the cluster does not answer in %s: check url, and the network between", elasticTimeout)
	}
	return fmt.Errorf("the cluster cannot be reached: %w: check url, and that it is up", err)
}
