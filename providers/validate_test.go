package providers_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

// bare is a provider without any capability.
type bare struct{}

func (bare) Name() string { return "bare" }

// able tells versions and checks regions.
type able struct{}

func (able) Name() string { return "able" }

func (able) EngineVersions(_ context.Context, engine string) ([]string, error) {
	if engine != "postgres" {
		return nil, errors.New("only postgres")
	}
	return []string{"18.4", "15.18"}, nil
}

func (able) ValidateRegion(_ context.Context, db stacks.Database, r stacks.Region) []stacks.Diagnostic {
	return []stacks.Diagnostic{{Summary: db.Metadata.Name + " in " + r.Location}}
}

// joins is an engine whose regions are data centres.
type joins struct{}

func (joins) Name() string                 { return "cassandra" }
func (joins) LinkModes() []stacks.LinkMode { return []stacks.LinkMode{stacks.LinkDatacenter} }

// filling fills its regions from others.
type filling struct{}

func (filling) Name() string { return "filling" }

func (filling) Rebuild(context.Context, providers.ModuleInput, providers.Fill) error { return nil }

// TestOnlyWhatIsFilledJoins refuses data centres whose rows nobody would bring.
func TestOnlyWhatIsFilledJoins(t *testing.T) {
	r := providers.NewRegistry([]providers.Provider{bare{}, filling{}}, []providers.Engine{joins{}})
	for _, c := range []struct {
		from, to string
		modes    int
	}{{"filling", "filling", 1}, {"filling", "bare", 0}, {"bare", "filling", 0}, {"bare", "bare", 0}, {"filling", "mars", 0}} {
		if got := r.LinkModes("cassandra", c.from, c.to); len(got) != c.modes {
			t.Errorf("from %s to %s: %v", c.from, c.to, got)
		}
	}
}

func TestRegistryAnswersValidation(t *testing.T) {
	r := providers.NewRegistry([]providers.Provider{bare{}, able{}}, nil)
	db := stacks.Database{Metadata: stacks.Metadata{Name: "orders"}}
	for name, c := range map[string]struct {
		provider, engine string
		versions         []string
		fails            bool
		told             int
	}{
		"without capabilities": {"bare", "postgres", nil, false, 0},
		"with them":            {"able", "postgres", []string{"18.4", "15.18"}, false, 1},
		"an engine it refuses": {"able", "cassandra", nil, true, 1},
		"unknown":              {"mars", "postgres", nil, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.EngineVersions(t.Context(), c.provider, c.engine)
			if !slices.Equal(got, c.versions) || (err != nil) != c.fails {
				t.Errorf("versions %q, %v", got, err)
			}
			ds := r.ValidateRegion(t.Context(), db, stacks.Region{Provider: c.provider, Location: "here"})
			if len(ds) != c.told || c.told == 1 && ds[0].Summary != "orders in here" {
				t.Errorf("diagnostics %+v", ds)
			}
		})
	}
}

// parts is an engine whose major versions have two parts.
type parts struct{}

func (parts) Name() string    { return "mysql" }
func (parts) MajorParts() int { return 2 }

func TestMajorVersion(t *testing.T) {
	r := providers.NewRegistry(nil, []providers.Engine{joins{}, parts{}})
	for _, c := range []struct{ engine, version, want string }{
		{"mysql", "8.4.3", "8.4"}, {"mysql", "8.4", "8.4"}, {"mysql", "8", "8"}, {"cassandra", "5.0.9", "5"}, {"mars", "1.2", "1"}, {"mysql", "", ""},
	} {
		if got := r.MajorVersion(c.engine, c.version); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.engine, c.version, got, c.want)
		}
	}
}

// turning gives administrators of postgres new passwords.
type turning struct{}

func (turning) Name() string                       { return "turning" }
func (turning) RotatesPassword(engine string) bool { return engine == "postgres" }

// TestOnlyWhoRotatesIsCounted refuses to count passwords where nobody makes new ones.
func TestOnlyWhoRotatesIsCounted(t *testing.T) {
	r := providers.NewRegistry([]providers.Provider{bare{}, turning{}}, nil)
	for _, c := range []struct {
		provider, engine string
		version          int64
		refused          bool
	}{{"turning", "postgres", 2, false}, {"turning", "cassandra", 2, true}, {"bare", "postgres", 2, true}, {"bare", "postgres", 1, false}, {"bare", "postgres", 0, false}} {
		db := stacks.Database{Spec: stacks.DatabaseSpec{Engine: stacks.Engine{Name: c.engine}, AdminPasswordVersion: c.version}}
		ds := r.ValidateRegion(t.Context(), db, stacks.Region{Provider: c.provider})
		if (len(ds) == 1) != c.refused || c.refused && (ds[0].Field != "spec.adminPasswordVersion" || ds[0].Next == "") {
			t.Errorf("%+v: %+v", c, ds)
		}
	}
}
