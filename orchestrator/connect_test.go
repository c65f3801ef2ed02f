package orchestrator

import (
	"strings"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

// maintained is an engine whose servers all have a database of one name.
type maintained struct{ engine }

func (maintained) MaintenanceDatabase() string { return "own" }

// TestConnectToWhichDatabase: the one that was asked for, else the spec's first, else the endpoint's, else the engine's own, whichever provider runs it.
func TestConnectToWhichDatabase(t *testing.T) {
	for name, test := range map[string]struct {
		engine                providers.Engine
		asked, spec, endpoint string
		want                  string
	}{
		"asked for":                 {maintained{}, "asked", "first", "there", "asked"},
		"the spec's":                {maintained{}, "", "first", "there", "first"},
		"the endpoint's":            {maintained{}, "", "", "there", "there"},
		"the engine's":              {maintained{}, "", "", "", "own"},
		"an engine that has no own": {engine{}, "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			c.registry = providers.NewRegistry([]providers.Provider{place{}}, []providers.Engine{test.engine})
			spec := text("orders")
			if test.spec != "" {
				spec = strings.Replace(spec, "  regions:", "  databases: [{name: "+test.spec+"}]\n  regions:", 1)
			}
			res, err := c.submitText(t, spec)
			if err != nil {
				t.Fatal(err)
			}
			db, err := c.catalog.Database(t.Context(), "default", "orders")
			if err != nil || len(res.Runs) != 1 {
				t.Fatal(err)
			}
			id := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: db.Incarnation, Region: "ankara"}
			if err := c.catalog.PutEndpoint(t.Context(), id, stacks.Endpoint{Host: "db.example", Port: 3306, User: "root", Database: test.endpoint}); err != nil {
				t.Fatal(err)
			}
			v, err := c.Connect(t.Context(), ConnectRequest{Namespace: "default", Name: "orders", Region: "ankara", Database: test.asked, Actor: "ada"})
			if err != nil || v.Database != test.want {
				t.Errorf("%+v, %v; want %q", v, err, test.want)
			}
		})
	}
}
