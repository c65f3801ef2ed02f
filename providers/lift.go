package providers

import "meridian/stacks"

// Lift says how the protection of what a region is made of is lifted, so that it can be destroyed.
type Lift struct {
	// Call is the region's module call with the protection off, and with whatever else must be in the state before a destruction (where a
	// final snapshot goes). What it changes is shown to people before, with the destruction; it may only change things in place.
	Call stacks.ModuleCall
	// Types are the resource types that can be protected. Only they are planned, with what they depend on.
	Types []string
	// Attributes are those of Types that protect, or that a destruction reads from the state, by the last word of their path, like
	// "deletion_protection". Where none of them would change, nothing has to be lifted.
	Attributes []string
}

// ProtectionLifter is a provider whose objects can be protected against their destruction, so that destroying them takes two applies:
// the first lifts the protection. Meridian plans both, shows both, and asks for one yes. It is pure.
type ProtectionLifter interface {
	LiftProtection(in ModuleInput) (Lift, error)
}
