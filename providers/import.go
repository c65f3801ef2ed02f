package providers

import (
	"context"

	"meridian/stacks"
)

// ImportInput names what is there already and shall become a region.
type ImportInput struct {
	ModuleInput
	// ID is how the provider knows it: an identifier, a directory. It is empty where Objects are given.
	ID string
	// Objects are what a state of somebody else's Terraform has; sensitive values are left out.
	Objects []StateObject
}

// StateObject is one managed object of a foreign state. Attributes are JSON texts by path.
type StateObject struct {
	Address, Type string
	Attributes    map[string]string
}

// Imported is what was found.
type Imported struct {
	// Placement makes the region's stack say what is there, and holds the Takeover.
	Placement stacks.Placement
	// Endpoint is where it answers; its Secret names the password, which only a person can give.
	Endpoint stacks.Endpoint
	// Managed is the address that it has in the foreign state, "" where there was none.
	Managed string
	// Evidence says to people what was found.
	Evidence string
}

// Importer finds what is there already and says how a region becomes it. It only looks. What is not there, is not whole, or belongs to
// another Meridian is an error that wraps ErrPermanent or ErrForeign.
type Importer interface {
	Import(ctx context.Context, in ImportInput) (Imported, error)
}
