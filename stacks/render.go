package stacks

// Render turns what a provider wants in a region's stack into the files of its root module. It is pure: the same input gives the same bytes.
func Render(id StackID, call ModuleCall) (Stack, error) { panic("todo") }
