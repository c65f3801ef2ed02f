package providers

import (
	"errors"
	"fmt"
	"slices"
)

// Registry holds the providers and engines that cmd registered.
type Registry struct {
	providers map[string]Provider
	engines   map[string]Engine
}

// NewRegistry returns a registry of these.
func NewRegistry(ps []Provider, es []Engine) *Registry {
	r := &Registry{providers: map[string]Provider{}, engines: map[string]Engine{}}
	for _, p := range ps {
		r.providers[p.Name()] = p
	}
	for _, e := range es {
		r.engines[e.Name()] = e
	}
	return r
}

// Provider returns the provider of that name.
func (r *Registry) Provider(name string) (Provider, error) {
	if p, ok := r.providers[name]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("provider %q: this Meridian has %q: %w", name, r.ProviderNames(), ErrPermanent)
}

// Engine returns the engine of that name.
func (r *Registry) Engine(name string) (Engine, error) {
	if e, ok := r.engines[name]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("engine %q: this Meridian has %q: %w", name, r.EngineNames(), ErrPermanent)
}

// ProviderNames lists the providers, sorted.
func (r *Registry) ProviderNames() []string { return sortedKeys(r.providers) }

// EngineNames lists the engines, sorted.
func (r *Registry) EngineNames() []string { return sortedKeys(r.engines) }

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// As returns v as the capability T, or an error that wraps errors.ErrUnsupported and ErrPermanent.
func As[T any](v interface{ Name() string }) (T, error) {
	if t, ok := v.(T); ok {
		return t, nil
	}
	var zero T
	return zero, fmt.Errorf("%s has no %T: %w", v.Name(), (*T)(nil), errors.Join(errors.ErrUnsupported, ErrPermanent))
}
