package stacks

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Limits of what Load reads. They bound time and memory, whatever the input.
const (
	// MaxSpecBytes is the size of one document.
	MaxSpecBytes = 1 << 20
	// maxSourceBytes is the size of one file.
	maxSourceBytes = 16 << 20
	// maxDocuments is the number of documents in one file.
	maxDocuments = 1000
	// maxNodes is the number of values that one document may have once its aliases are expanded.
	maxNodes = 200_000
	// maxDiagnostics is the number of errors that are told of one document.
	maxDiagnostics = 100
	// maxSnippet is the length of the longest line that a diagnostic quotes.
	maxSnippet = 400
)

// document is one YAML document of a source, with its place in it.
type document struct {
	file  string
	text  []byte
	first int // line number of the text's first line in the file, from 1
	index []int
}

// splitDocuments cuts a source at its "---" and "..." lines. YAML gives these lines their meaning wherever they start a line, so no
// parsing is needed, and a document that cannot be parsed does not hide the others. What holds only blanks and comments is left out.
func splitDocuments(src Source) ([]document, []Diagnostic) {
	text := bytes.TrimPrefix(src.Text, []byte("\ufeff"))
	if len(text) > maxSourceBytes {
		return nil, []Diagnostic{{Severity: SeverityError, Rule: "spec.size", File: src.Name, Line: 1, Column: 1,
			Summary: fmt.Sprintf("the file has %d bytes; at most %d are read", len(text), maxSourceBytes), Next: "split it into several files"}}
	}
	var docs []document
	start, first := 0, 1
	cut := func(end, next, nextLine int) {
		if part := text[start:end]; !blank(part) {
			docs = append(docs, document{file: src.Name, text: part, first: first})
		}
		start, first = next, nextLine
	}
	for at, line := 0, 1; at < len(text) && len(docs) <= maxDocuments; line++ {
		end := at + lineLen(text[at:])
		switch marker(text[at:end]) {
		case "---":
			if at > start {
				cut(at, at, line)
			}
		case "...":
			cut(at, end, line+1)
		}
		at = end
	}
	cut(len(text), len(text), 0)
	if len(docs) > maxDocuments {
		return nil, []Diagnostic{{Severity: SeverityError, Rule: "spec.size", File: src.Name, Line: docs[maxDocuments].first, Column: 1,
			Summary: fmt.Sprintf("the file has more than %d documents", maxDocuments), Next: "split it into several files"}}
	}
	return docs, nil
}

// marker returns "---" or "..." where the line starts with one, alone or followed by a blank.
func marker(line []byte) string {
	for _, m := range []string{"---", "..."} {
		rest, ok := bytes.CutPrefix(line, []byte(m))
		if !ok {
			continue
		}
		if r, _ := utf8.DecodeRune(rest); len(rest) == 0 || r == ' ' || r == '\t' || isBreak(r) {
			return m
		}
	}
	return ""
}

// blank reports whether a document holds nothing but its marker, blanks and comments.
func blank(text []byte) bool {
	if marker(text) == "---" {
		text = text[len("---"):]
	}
	for at := 0; at < len(text); {
		end := at + lineLen(text[at:])
		if l := bytes.TrimSpace(text[at:end]); len(l) > 0 && l[0] != '#' {
			return false
		}
		at = end
	}
	return true
}

// isBreak reports whether YAML 1.1 ends a line at the rune.
func isBreak(r rune) bool {
	return r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029'
}

// lineLen is the length of the text's first line with its break.
func lineLen(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		i += n
		if r == '\r' && i < len(text) && text[i] == '\n' {
			return i + 1
		}
		if isBreak(r) {
			return i
		}
	}
	return len(text)
}

// unreadable finds the first byte that is no UTF-8 or a control character that YAML does not allow.
func (d *document) unreadable() (offset int, what string, found bool) {
	for i := 0; i < len(d.text); {
		r, n := utf8.DecodeRune(d.text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return i, "the text is not UTF-8", true
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f, r > 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff, r == 0xfeff && i > 0:
			return i, fmt.Sprintf("the character %U is not allowed here", r), true
		}
		i += n
	}
	return 0, "", false
}

// place turns a byte offset of the document's text into a line of the file and a column, both from 1; the column counts characters.
func (d *document) place(offset int) (line, column int) {
	line = d.first
	for at := 0; at < len(d.text); line++ {
		end := at + lineLen(d.text[at:])
		if offset < end || end == len(d.text) && !endsLine(d.text) {
			return line, 1 + utf8.RuneCount(d.text[at:min(offset, end)])
		}
		at = end
	}
	return line, 1
}

func endsLine(text []byte) bool {
	r, _ := utf8.DecodeLastRune(text)
	return isBreak(r)
}

// line returns a line of the file without its break, "" where the document does not have it.
func (d *document) line(number int) string {
	if d.index == nil {
		for at := 0; at < len(d.text); at += lineLen(d.text[at:]) {
			d.index = append(d.index, at)
		}
	}
	i := number - d.first
	if i < 0 || i >= len(d.index) {
		return ""
	}
	end := len(d.text)
	if i+1 < len(d.index) {
		end = d.index[i+1]
	}
	return string(bytes.TrimRightFunc(d.text[d.index[i]:end], isBreak))
}

// snippet is the line as a diagnostic quotes it: "" where it is too long to help.
func (d *document) snippet(number int) string {
	if l := d.line(number); utf8.RuneCountInString(l) <= maxSnippet {
		return l
	}
	return ""
}
