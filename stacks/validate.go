package stacks

import "context"

// Capabilities is what validation asks of the providers and engines of this Meridian.
type Capabilities interface {
	ProviderNames() []string
	EngineNames() []string
	// EngineVersions lists the exact versions of an engine that a provider can run here, newest first; none where it does not say.
	EngineVersions(ctx context.Context, provider, engine string) ([]string, error)
	// ValidateRegion asks the region's provider; its diagnostics carry Field paths.
	ValidateRegion(ctx context.Context, db Database, r Region) []Diagnostic
}

// Validate checks one document against every rule that needs no other revision. caps nil means the shape only, offline.
func Validate(ctx context.Context, l Loaded, caps Capabilities) []Diagnostic { panic("todo") }

// Check loads and validates: every error of every document at once, in order of file and line.
func Check(ctx context.Context, sources []Source, defaultNamespace string, caps Capabilities) ([]Loaded, []Diagnostic) {
	panic("todo")
}

// HasErrors reports whether one of the diagnostics is an error.
func HasErrors(ds []Diagnostic) bool {
	for _, d := range ds {
		if d.Severity == SeverityError {
			return true
		}
	}
	return false
}
