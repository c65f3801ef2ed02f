package stacks

// Schema is the JSON schema of a spec document, for editors.
func Schema() ([]byte, error) { panic("todo") }
