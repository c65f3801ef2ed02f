//go:build chaoscontrol

package journal

import "os"

// without reports whether a protection is left out.
func without(p protection) bool { return os.Getenv("MERIDIAN_CHAOS_CONTROL") == string(p) }
