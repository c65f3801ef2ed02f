package stacks

import "io"

// PrintDiagnostics writes the diagnostics for a person: what, where, the line underlined, what to do next. It returns the writer's error.
func PrintDiagnostics(w io.Writer, ds []Diagnostic, color bool) error { panic("todo") }
