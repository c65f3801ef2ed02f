// Package none is the engine of what is no database: a network, a bucket, a cluster for other things. Its regions are made and kept like any
// other's; they have no databases, users or links, and nobody connects to them.
//
// It must never learn to do anything: what it lacks is all that it says.
package none

import "meridian/providers"

// Name is the engine's word in the spec.
const Name = "none"

// Engine is the engine none.
type Engine struct{}

var (
	_ providers.Engine     = Engine{}
	_ providers.NoDatabase = Engine{}
)

// Name is "none".
func (Engine) Name() string { return Name }

// NoDatabase marks the engine.
func (Engine) NoDatabase() {}
