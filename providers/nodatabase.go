package providers

import "meridian/stacks"

// NoDatabase is an engine behind which there is no database: nothing of it is asked a query, has users or links, or has to say where it answers.
type NoDatabase interface {
	NoDatabase()
}

// EndpointChecker checks that a region of a spec says where its database answers and who administers it, for a provider that cannot know by
// itself. It is asked only where the engine is a database. Diagnostics carry Field paths from the spec's root.
type EndpointChecker interface {
	CheckEndpoint(db stacks.Database, region stacks.Region) []stacks.Diagnostic
}

// HasDatabase reports whether an engine is a database. One that is not here might be.
func (r *Registry) HasDatabase(engine string) bool {
	e, err := r.Engine(engine)
	if err != nil {
		return true
	}
	_, err = As[NoDatabase](e)
	return err != nil
}
