package stacks

// CheckChange compares two effective specs of one database. Errors refuse the change; warnings tell what is kept, unmanaged.
func CheckChange(old, new Database) []Diagnostic { panic("todo") }

// Desired lists the links that an effective spec wants to be there, and those that it wants removed.
func Desired(db Database) (ensure, remove []Link) { panic("todo") }

// LinksCut lists the links of old that must be removed because new has no longer both of their regions.
func LinksCut(old, new Database) []Link { panic("todo") }
