package providers

import (
	"context"

	"meridian/stacks"
)

// Object is something in the world that carries this installation's owner mark.
type Object struct {
	Provider string `json:"provider"`
	// ID names the object among all of its provider; it is what a person approves.
	ID string `json:"id"`
	// Stack is the stack that the mark names.
	Stack stacks.StackID `json:"stack"`
	// Type, Address and ImportID are those of the resource that it is in its stack: attributes of it hold the import ID.
	Type     string `json:"type"`
	Address  string `json:"address"`
	ImportID string `json:"importId"`
	// Detail says for people what it is and where it stands.
	Detail      string `json:"detail,omitempty"`
	DataBearing bool   `json:"dataBearing,omitempty"`
}

// Inventory lists everything in the world that carries this installation's owner mark, whether a state knows it or not. Places are all
// regions that a spec of this Meridian has ever had with this provider: they say which accounts and locations there are to look at.
type Inventory interface {
	Inventory(ctx context.Context, places []ModuleInput) ([]Object, error)
}

// Remover removes one object that no state knows, with its data, where a person has named exactly that one. It refuses an object that is
// not marked as it was listed. One that is gone is fine. Places are those of Inventory.
type Remover interface {
	RemoveObject(ctx context.Context, o Object, places []ModuleInput) error
}

// SlotLister lists, by name, what links of an incarnation hold back on a source for their targets.
type SlotLister interface {
	SlotsOf(ctx context.Context, t Target, incarnation string) ([]string, error)
}
