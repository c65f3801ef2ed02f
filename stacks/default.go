package stacks

import (
	"context"
	"time"
)

// DefaultMaxLag is the lag that a link may have unless its spec says otherwise.
const DefaultMaxLag = Duration(30 * time.Second)

// Inherit returns db with what it leaves open and the database's effective spec has decided before: the engine's version.
// Without it, a new major on this machine would change a database whose spec did not change. Call it before Default.
func Inherit(effective, db Database) Database { panic("todo") }

// Default returns the effective spec: nothing in it is left to guess. db has passed Validate.
func Default(ctx context.Context, db Database, caps Capabilities) (Database, error) { panic("todo") }
