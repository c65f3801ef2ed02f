package providers

import (
	"context"

	"meridian/stacks"
)

// InspectInput is what the inside of a region's server is compared with.
type InspectInput struct {
	Incarnation string
	Objects     Objects
	// Links are those that read from this region.
	Links []stacks.Link
	// Peers are the database's other regions that answer somewhere.
	Peers []Target
}

// Inspector says how what is inside of a server differs from what was made there: databases and users that are gone, passwords that are
// others, slots that no link reads. It changes nothing and takes no turn. The items need no Region; what is there beside the spec is none.
type Inspector interface {
	Inspect(ctx context.Context, t Target, in InspectInput) ([]stacks.DriftItem, error)
}

// SweepInput names what may stay at a source.
type SweepInput struct {
	RunNumber   int64
	Incarnation string
	// Links are those that read from this region.
	Links []stacks.Link
}

// Sweeper removes what links of an incarnation that are no more still hold back at a source: what Inspector calls DriftSlot. It leaves alone
// what is not this incarnation's.
type Sweeper interface {
	Sweep(ctx context.Context, t Target, in SweepInput) (removed []string, err error)
}

// SpecFields names the field of the spec that decides an attribute of a region, like "spec.engine.parameters.work_mem"; "" where none does: it
// then follows from something that no spec says. It is pure.
type SpecFields interface {
	SpecField(db stacks.Database, region stacks.Region, item stacks.DriftItem) string
}

// SelfGrower names what of a region's objects the cloud itself raises, and what nobody can lower: that it grew is no drift, and a plan that would
// lower it is refused before anybody is asked to approve it. It is pure.
type SelfGrower interface {
	GrowsByItself(db stacks.Database, region stacks.Region) []stacks.Growth
}
