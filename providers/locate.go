package providers

import "context"

// FoundState is what a look-up of one object found.
type FoundState string

// What a look-up finds.
const (
	// FoundAbsent means that there is nothing to take over: it was never made, or a create takes up what is left of it.
	FoundAbsent FoundState = "absent"
	// FoundSettling means that something still works on it: look again.
	FoundSettling FoundState = "settling"
	// FoundPresent means that it is there and ours.
	FoundPresent FoundState = "present"
	// FoundForeign means that something of its name is there and is not ours.
	FoundForeign FoundState = "foreign"
	// FoundUnknown means that it cannot be proven: a person has to say.
	FoundUnknown FoundState = "unknown"
)

// LocateInput names an object that an interrupted apply was making, changing or removing.
type LocateInput struct {
	ModuleInput
	// Address is terraform's, from the root; Type is the resource's type.
	Address, Type string
}

// Located is what was found.
type Located struct {
	State FoundState
	// ImportID is what `import` takes, where the object is present.
	ImportID string
	// Healthy says that the object is whole, so that a taint of it may be lifted.
	Healthy bool
	// Evidence says to people what was looked at and seen, in one sentence. It holds no secret.
	Evidence string
}

// Locator finds an object again by the fixed name or the owner mark that it was given in its create call (the table in modules/README.md).
// An error is transient: the look is repeated.
type Locator interface {
	Locate(ctx context.Context, in LocateInput) (Located, error)
}
