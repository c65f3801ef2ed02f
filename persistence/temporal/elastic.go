package temporal

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"go.temporal.io/server/common/config"
	elastic "go.temporal.io/server/common/persistence/visibility/store/elasticsearch/client"
	"go.temporal.io/server/temporal"
)

// elasticPart keeps Temporal's lists in an index of an Elasticsearch or OpenSearch cluster.
type elasticPart struct {
	config *elastic.Config
	http   *http.Client
}

var _ part = (*elasticPart)(nil)

const (
	// elasticVersion is the dialect of Temporal's client, which speaks with all of them.
	elasticVersion = "v8"
	elasticIndex   = "temporal_visibility_v1"
)

// index is the name of the index.
func (e *Elasticsearch) index() string {
	if e.Index == "" {
		return elasticIndex
	}
	return e.Index
}

// client makes what asks the cluster.
func (e *Elasticsearch) client() (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if e.TLS != nil {
		config, err := e.TLS.config()
		if err != nil {
			return nil, fmt.Errorf("temporal.visibility.elasticsearch: %w", err)
		}
		t.TLSClientConfig = config
	}
	return &http.Client{Transport: t}, nil
}

func (e *Elasticsearch) password(ctx context.Context) (string, error) {
	if e.Password == nil {
		return "", nil
	}
	return e.Password.Read(ctx)
}

func newElasticPart(ctx context.Context, e *Elasticsearch) (*elasticPart, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("temporal.visibility.elasticsearch.url: %w", err)
	}
	c := &elastic.Config{Version: elasticVersion, URL: *u, Username: e.User, Indices: map[string]string{elastic.VisibilityAppName: e.index()}}
	if c.Password, err = e.password(ctx); err != nil {
		return nil, err
	}
	client, err := e.client()
	if err != nil {
		return nil, err
	}
	return &elasticPart{c, client}, nil
}

func (p *elasticPart) dataStore() config.DataStore { return config.DataStore{Elasticsearch: p.config} }

// options hand the client over: the server forgets one that is in the configuration.
func (p *elasticPart) options() []temporal.ServerOption {
	return []temporal.ServerOption{temporal.WithElasticsearchHttpClient(p.http)}
}

func (p *elasticPart) close() { p.http.CloseIdleConnections() }
