package conformance

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
)

// World is what stands for the cloud: a fake that speaks its protocol, and that nobody else asks.
type World struct {
	// Provider asks this world.
	Provider providers.Provider
	// Make lets a region be there as its apply makes it, with the cloud's own word for where it stands.
	Make func(in providers.ModuleInput, status string)
	// Statuses are the cloud's words, each with what it means; Ready is the usual one of a region that answers.
	Statuses map[string]providers.ReadyState
	Ready    string
	// Troubles let the next look meet what passes by itself, by what they are called.
	Troubles map[string]func()
	// Reject lets the cloud refuse the credentials, until what it returns is called.
	Reject func() (renew func())
	// Settle lets what is being removed be gone.
	Settle func()
}

// world is a new world of the suite; a suite without one skips the test.
func (s Suite) world(t *testing.T) World {
	t.Helper()
	if s.World == nil {
		t.Skip("nothing stands for the cloud")
	}
	t.Parallel() // each has its own, and mostly waits for it
	return s.World(t)
}

// statuses holds that every word of the cloud means something, and that one which nobody knows is waited for, and named.
func (s Suite) statuses(t *testing.T) {
	w := s.world(t)
	p, in := has[providers.ControlPlane](t, w.Provider), s.input(t, 0)
	if st, err := p.ControlPlane(t.Context(), in); err != nil || st.State != providers.StatePending || st.Message == "" {
		t.Errorf("before it is made: %+v, %v", st, err)
	}
	words := maps.Clone(w.Statuses)
	words["no-such-status"] = providers.StatePending
	seen := map[providers.ReadyState]bool{}
	for word, want := range words {
		w.Make(in, word)
		st, err := p.ControlPlane(t.Context(), in)
		if err != nil || st.State != want || st.Raw != word || !strings.Contains(st.Message, word) {
			t.Errorf("%s: %+v, %v; want %s, and the word said", word, st, err, want)
		}
		seen[st.State] = true
	}
	if len(seen) != 3 || words[w.Ready] != providers.StateReady {
		t.Errorf("the statuses mean %v: a database is waited for, ready, or failed", seen)
	}
}

// inventory holds that what an apply makes is listed, and found again where its stack has it.
func (s Suite) inventory(t *testing.T) {
	w := s.world(t)
	p, finder := has[providers.Inventory](t, w.Provider), has[providers.Locator](t, w.Provider)
	in, places := s.input(t, 0), []providers.ModuleInput{s.input(t, 0), s.input(t, 1)}
	if found, err := p.Inventory(t.Context(), places); err != nil || len(found) > 0 {
		t.Fatalf("in an empty world there are %+v, %v", found, err)
	}
	w.Make(in, w.Ready)
	found, err := p.Inventory(t.Context(), places)
	if err != nil || len(found) == 0 {
		t.Fatalf("what was made is not listed: %+v, %v", found, err)
	}
	bearing := map[string]bool{}
	ids := map[string]bool{}
	for _, o := range found {
		if o.Provider != s.Provider.Name() || o.Stack != in.Stack || o.Detail == "" || ids[o.ID] {
			t.Errorf("%+v", o)
		}
		ids[o.ID] = true
		if o.DataBearing {
			bearing[o.Type] = true
		}
		at, err := finder.Locate(t.Context(), providers.LocateInput{ModuleInput: in, Address: o.Address, Type: o.Type})
		if err != nil || at.State != providers.FoundPresent || at.ImportID != o.ImportID || !at.Healthy {
			t.Errorf("%s is listed with the import ID %s, and located as %+v, %v", o.Address, o.ImportID, at, err)
		}
	}
	call, err := has[providers.ModuleCaller](t, w.Provider).ModuleCall(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range call.DataBearing {
		if !bearing[typ] {
			t.Errorf("%s bears data, and is not listed as such: %+v", typ, found)
		}
	}
}

// removal holds that what is listed can be removed until nothing is left, and that whoever removes it twice is not told off.
func (s Suite) removal(t *testing.T) {
	w := s.world(t)
	p, remover := has[providers.Inventory](t, w.Provider), has[providers.Remover](t, w.Provider)
	in := s.input(t, 0)
	places := []providers.ModuleInput{in}
	w.Make(in, w.Ready)
	var refused error
	for range 5 { // some objects have to go before others
		found, err := p.Inventory(t.Context(), places)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			return
		}
		refused = nil
		for _, o := range found {
			for range 2 {
				refused = errors.Join(refused, remover.RemoveObject(t.Context(), o, places))
			}
		}
		w.Settle()
	}
	t.Errorf("something is left: %v", refused)
}

// troubles holds that what passes by itself fails no region for good.
func (s Suite) troubles(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(s.world(t).Troubles)) {
		t.Run(name, func(t *testing.T) {
			w := s.world(t)
			p, in := has[providers.ControlPlane](t, w.Provider), s.input(t, 0)
			w.Make(in, w.Ready)
			w.Troubles[name]()
			if st, err := p.ControlPlane(t.Context(), in); errors.Is(err, providers.ErrPermanent) || errors.Is(err, providers.ErrForeign) || err == nil && st.State != providers.StateReady {
				t.Errorf("%+v, %v", st, err)
			}
			if st, err := p.ControlPlane(t.Context(), in); err != nil || st.State != providers.StateReady {
				t.Errorf("afterwards: %+v, %v", st, err)
			}
		})
	}
}

// rejection holds that credentials which the cloud refuses fail at once, saying what to do, and that it goes on once they are renewed.
func (s Suite) rejection(t *testing.T) {
	w := s.world(t)
	p, in := has[providers.Preflighter](t, w.Provider), s.input(t, 0)
	renew := w.Reject()
	if err := p.Preflight(t.Context(), in); !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "apply again") {
		t.Errorf("with credentials that the cloud refuses: %v", err)
	}
	renew()
	if err := p.Preflight(t.Context(), in); err != nil {
		t.Errorf("once they are renewed: %v", err)
	}
}
