package api_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"

	"meridian/orchestrator"
	"meridian/orchestrator/api"
	"meridian/orchestrator/api/apitest"
)

// many is a service with databases d0000, d0001, ... in one namespace.
type many struct {
	*apitest.Fake
	n     int
	asked []orchestrator.DatabaseQuery
}

func (m *many) FindDatabases(_ context.Context, q orchestrator.DatabaseQuery) (out []orchestrator.DatabaseView, err error) {
	m.asked = append(m.asked, q)
	for i := range m.n {
		if db := (orchestrator.DatabaseView{Namespace: "default", Name: fmt.Sprintf("d%04d", i)}); "default/"+db.Name > q.After && len(out) < q.Limit {
			out = append(out, db)
		}
	}
	return out, nil
}

// TestListOfMany asks for page after page where all are wanted, and for no more than what is wanted.
func TestListOfMany(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		n, limit, want int
		pages          []int
	}{
		"none":              {0, 0, 0, []int{500}},
		"one page":          {499, 0, 499, []int{500}},
		"a whole page":      {500, 0, 500, []int{500, 500}},
		"three":             {1100, 0, 1100, []int{500, 500, 500}},
		"a few of many":     {1100, 3, 3, []int{3}},
		"more than a page":  {1100, 700, 700, []int{500, 200}},
		"more than are":     {7, 20, 7, []int{20}},
		"as many as a page": {1100, 500, 500, []int{500}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &many{Fake: apitest.New(), n: test.n}
			srv := httptest.NewServer(api.New(api.Options{Service: m, Token: "t"}))
			defer srv.Close()
			c, err := api.NewHTTPClient(api.ClientOptions{URL: srv.URL, Token: "t"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.FindDatabases(t.Context(), orchestrator.DatabaseQuery{Search: "d", Limit: test.limit})
			if err != nil || len(got) != test.want {
				t.Fatalf("%d databases, %v: want %d", len(got), err, test.want)
			}
			for i, db := range got {
				if db.Name != fmt.Sprintf("d%04d", i) {
					t.Fatalf("number %d is %s", i, db.Name)
				}
			}
			var pages []int
			for _, q := range m.asked {
				pages = append(pages, q.Limit)
				if q.Search != "d" {
					t.Errorf("asked for %q", q.Search)
				}
			}
			if !slices.Equal(pages, test.pages) {
				t.Errorf("asked for pages of %v, want %v", pages, test.pages)
			}
		})
	}
}
