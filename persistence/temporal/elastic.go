package temporal

import (
	"context"
	"fmt"
	"net/url"

	"go.temporal.io/server/common/config"
	elastic "go.temporal.io/server/common/persistence/visibility/store/elasticsearch/client"
	"go.temporal.io/server/temporal"
)

// elasticPart keeps Temporal's lists in an Elasticsearch or OpenSearch cluster, whose index Temporal's own tool has made.
type elasticPart struct{ config *elastic.Config }

var _ part = (*elasticPart)(nil)

// Defaults of an Elasticsearch.
const (
	elasticVersion = "v8"
	elasticIndex   = "temporal_visibility_v1"
)

func newElasticPart(ctx context.Context, e *Elasticsearch) (*elasticPart, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("temporal.visibility.elasticsearch.url: %w", err)
	}
	c := &elastic.Config{Version: e.Version, URL: *u, Username: e.User, Indices: map[string]string{elastic.VisibilityAppName: e.Index}}
	if c.Version == "" {
		c.Version = elasticVersion
	}
	if e.Index == "" {
		c.Indices[elastic.VisibilityAppName] = elasticIndex
	}
	if e.Password != nil {
		if c.Password, err = e.Password.Read(ctx); err != nil {
			return nil, err
		}
	}
	return &elasticPart{c}, nil
}

func (p *elasticPart) dataStore() config.DataStore      { return config.DataStore{Elasticsearch: p.config} }
func (p *elasticPart) options() []temporal.ServerOption { return nil }
func (p *elasticPart) close()                           {}
