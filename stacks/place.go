package stacks

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// span is where something stands in a file.
type span struct {
	line, column, length int
}

// nodes are where something starts and where it ends: the same node, or a name and its value.
type nodes struct{ from, to *yaml.Node }

// spanBetween is the place of a name with its value, where they stand in one line.
func (d *document) spanBetween(n nodes) span {
	s := d.spanOf(n.from)
	if n.to != n.from && n.to.Line == n.from.Line {
		end := d.spanOf(n.to)
		s.length = end.column + end.length - s.column
	}
	return s
}

// spanOf is the place of a node; of a list or map that is not written in one line it is its start.
func (d *document) spanOf(n *yaml.Node) span {
	s := span{line: n.Line + d.first - 1, column: n.Column, length: 1}
	if n.Kind != yaml.ScalarNode && n.Kind != yaml.AliasNode {
		return s
	}
	line := []rune(d.snippet(s.line))
	if s.column < 1 || s.column > len(line) {
		return s
	}
	rest := line[s.column-1:]
	switch {
	case n.Kind == yaml.AliasNode:
		s.length = 1 + utf8.RuneCountInString(n.Value)
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		s.length = quotedLen(rest)
	default:
		s.length = utf8.RuneCountInString(n.Value)
	}
	s.length = min(max(s.length, 1), len(rest))
	return s
}

// quotedLen is the length of the quoted text that a line starts with, or of the line where the quote does not end on it.
func quotedLen(line []rune) int {
	for i := 1; i < len(line); i++ {
		switch {
		case line[0] == '"' && line[i] == '\\':
			i++
		case line[i] == line[0] && line[0] == '\'' && i+1 < len(line) && line[i+1] == '\'':
			i++
		case line[i] == line[0]:
			return i + 1
		}
	}
	return len(line)
}

// Locate fills in file, line, column, length and snippet of the diagnostics that have a Field and no place yet: that of the field, or
// of the nearest one around it that the document has. It returns a copy.
func (l Loaded) Locate(ds []Diagnostic) []Diagnostic {
	out := make([]Diagnostic, len(ds))
	for i, d := range ds {
		if d.Line == 0 && d.Field != "" && l.doc != nil {
			at := l.find(d.Field)
			d.File, d.Line, d.Column, d.Length, d.Snippet = l.File, at.line, at.column, at.length, l.doc.snippet(at.line)
		}
		out[i] = d
	}
	return out
}

// find returns the place of a field, or of the nearest one around it.
func (l Loaded) find(path string) span {
	for {
		if n, ok := l.places[path]; ok {
			return l.doc.spanBetween(n)
		}
		if path == "" {
			return span{line: l.firstLine(), column: 1, length: 1}
		}
		path = parentPath(path)
	}
}

func (l Loaded) firstLine() int {
	if l.doc == nil {
		return 1
	}
	return l.doc.first
}

// has reports whether the document gives the field.
func (l Loaded) has(path string) bool {
	_, ok := l.places[path]
	return ok
}

// isBad reports whether loading complained about the field or something around it, so that validation need not.
func (l Loaded) isBad(path string) bool {
	for ; path != ""; path = parentPath(path) {
		if l.bad[path] {
			return true
		}
	}
	return false
}

// parentPath cuts the last step off a path like "spec.regions[1].role".
func parentPath(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
