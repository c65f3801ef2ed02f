package stacks

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// Colours of a terminal.
const (
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	blue   = "\x1b[1;34m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// PrintDiagnostics writes the diagnostics for a person: what, where, the line underlined, what to do next. It returns the writer's error.
// What came from a user or a cloud cannot steer the terminal: it is stripped of control characters.
func PrintDiagnostics(w io.Writer, ds []Diagnostic, color bool) error {
	var b strings.Builder
	for i, d := range ds {
		if i > 0 {
			b.WriteByte('\n')
		}
		printDiagnostic(&b, d, color)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printDiagnostic(b *strings.Builder, d Diagnostic, color bool) {
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return code + s + plain
	}
	tone := red
	if d.Severity == SeverityWarning {
		tone = yellow
	}
	fmt.Fprintf(b, "%s%s\n", paint(tone, string(d.Severity)), paint(bold, ": "+printable(d.Summary, " ")))
	gutter := strings.Repeat(" ", max(2, len(strconv.Itoa(d.Line))))
	bar := paint(blue, "|")
	if at := where(d); at != "" {
		fmt.Fprintf(b, "%s%s %s\n", gutter, paint(blue, "-->"), at)
	}
	if d.Snippet != "" && d.Line > 0 {
		for i, line := range strings.Split(strings.TrimRight(d.Snippet, "\r\n"), "\n") {
			fmt.Fprintf(b, "%s %s %s\n", paint(blue, fmt.Sprintf("%*d", len(gutter), d.Line+i)), bar, printable(line, " "))
			if i == 0 && d.Column > 0 {
				fmt.Fprintf(b, "%s %s %s%s\n", gutter, bar, strings.Repeat(" ", d.Column-1), paint(tone, strings.Repeat("^", carets(line, d))))
			}
		}
	}
	for _, line := range strings.Split(d.Detail, "\n") {
		if line = printable(line, " "); strings.TrimSpace(line) != "" {
			fmt.Fprintf(b, "%s %s %s\n", gutter, paint(blue, "="), line)
		}
	}
	if d.Next != "" {
		fmt.Fprintf(b, "%s %s %s %s\n", gutter, paint(blue, "="), paint(bold, "next:"), printable(d.Next, " "))
	}
}

// carets is how many characters to underline: never more than the line has.
func carets(line string, d Diagnostic) int {
	return max(1, min(d.Length, len([]rune(line))-d.Column+1))
}

// where names the place: a file with line and column, terraform's address, the field of a spec; as far as they are known.
func where(d Diagnostic) string {
	var parts []string
	if d.File != "" {
		at := printable(d.File, "?")
		if d.Line > 0 {
			at += ":" + strconv.Itoa(d.Line)
			if d.Column > 0 {
				at += ":" + strconv.Itoa(d.Column)
			}
		}
		parts = append(parts, at)
	} else if d.Field != "" {
		parts = append(parts, printable(d.Field, "?"))
	}
	if d.Address != "" {
		parts = append(parts, printable(d.Address, "?"))
	}
	return strings.Join(parts, ", ")
}

// printable replaces what is not printed as one character: control characters, tabs, and characters that turn the text around.
func printable(s, instead string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(instead)
		}
	}
	return b.String()
}
