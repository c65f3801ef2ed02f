package aws

import (
	"testing"

	"meridian/providers"
)

// TestEndpointProvesTheServer holds how a server is talked to: encrypted, and with a file of authorities only the one that they vouch for.
func TestEndpointProvesTheServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tls      map[string]any
		mode, ca string
		refused  bool
	}{
		"by default":       {nil, "require", "", false},
		"with authorities": {map[string]any{"caFile": "/etc/rds/global-bundle.pem"}, "verify-full", "/etc/rds/global-bundle.pem", false},
		"a relative path":  {map[string]any{"caFile": "global-bundle.pem"}, "verify-full", "global-bundle.pem", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := region(func(in *providers.ModuleInput) {
				if c.tls != nil {
					in.Region.Settings = settings()
					in.Region.Settings["tls"] = c.tls
				}
				in.Database.Spec.Regions[0] = in.Region
			})
			p := New(Config{})
			e, err := p.Endpoint(providers.EndpointInput{ModuleInput: in, Outputs: map[string]any{"host": "db.example", "port": 5432, "admin_user": "meridian"}})
			if err != nil || e.TLSMode != c.mode || e.CAFile != c.ca {
				t.Errorf("%+v, %v", e, err)
			}
			ds := p.ValidateRegion(t.Context(), in.Database, in.Region)
			if (len(ds) > 0) != c.refused || c.refused && ds[0].Field != "spec.regions[0].settings.tls.caFile" {
				t.Errorf("%+v", ds)
			}
		})
	}
}
