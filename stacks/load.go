package stacks

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source is one file of specs as a user gave it; Name is what its errors call it.
type Source struct {
	Name string
	Text []byte
}

// Loaded is one document of a source: what it says and where it says it.
type Loaded struct {
	// Spec is what the document says, nothing filled in but the namespace. Where the document has errors it is what could be read.
	Spec Database
	// Text is this document's own text, without the others of its file.
	Text []byte
	// File is the name of the source.
	File string

	doc    *document
	places map[string]nodes
	bad    map[string]bool
}

// Load reads the documents of all sources and reports every error at once. defaultNamespace is used where a document names none.
// A document with errors is returned too, as far as it could be read, so that Validate can find the rest.
func Load(sources []Source, defaultNamespace string) ([]Loaded, []Diagnostic) {
	var out []Loaded
	var ds []Diagnostic
	for _, src := range sources {
		docs, refused := splitDocuments(src)
		ds = append(ds, refused...)
		if len(docs) == 0 && len(refused) == 0 {
			ds = append(ds, Diagnostic{Severity: SeverityWarning, Rule: "spec.empty", File: src.Name, Line: 1, Column: 1,
				Summary: "there is no spec in this file"})
		}
		for i := range docs {
			l, found, ok := loadDocument(&docs[i])
			ds = append(ds, found...)
			if !ok {
				continue
			}
			if l.Spec.Metadata.Namespace == "" {
				l.Spec.Metadata.Namespace = cmp.Or(defaultNamespace, DefaultNamespace)
			}
			out = append(out, l)
		}
	}
	ds = append(ds, duplicates(out)...)
	if len(out) == 0 && !HasErrors(ds) {
		d := Diagnostic{Severity: SeverityError, Rule: "spec.empty", Summary: "there is no spec to read",
			Next: "write a document with apiVersion: " + APIVersion + " and kind: " + KindDatabase}
		if len(sources) == 1 {
			d.File, d.Line, d.Column = sources[0].Name, 1, 1
		}
		ds = []Diagnostic{d}
	}
	return out, ds
}

// duplicates refuses two documents of one database.
func duplicates(loaded []Loaded) []Diagnostic {
	var ds []Diagnostic
	seen := map[[2]string]Loaded{}
	for _, l := range loaded {
		m := l.Spec.Metadata
		if m.Name == "" {
			continue
		}
		key := [2]string{m.Namespace, m.Name}
		first, twice := seen[key]
		if !twice {
			seen[key] = l
			continue
		}
		at := first.find("metadata.name")
		ds = append(ds, l.Locate([]Diagnostic{{Severity: SeverityError, Rule: "database.duplicate", Field: "metadata.name",
			Summary: fmt.Sprintf("database %s/%s has two documents", brief(m.Namespace), brief(m.Name)),
			Detail:  fmt.Sprintf("the first is at %s:%d", first.File, at.line),
			Next:    "keep one of them, or give this one another name"}})...)
	}
	return ds
}

// loadDocument reads one document. ok is false where it holds nothing that can be checked further.
func loadDocument(doc *document) (l Loaded, ds []Diagnostic, ok bool) {
	if len(doc.text) > MaxSpecBytes {
		return l, []Diagnostic{{Severity: SeverityError, Rule: "spec.size", File: doc.file, Line: doc.first, Column: 1,
			Summary: fmt.Sprintf("the spec has %d bytes; at most %d (1 MiB) are allowed", len(doc.text), MaxSpecBytes)}}, false
	}
	if offset, what, found := doc.unreadable(); found {
		line, column := doc.place(offset)
		return l, []Diagnostic{{Severity: SeverityError, Rule: "spec.syntax", Summary: what, File: doc.file, Line: line, Column: column}}, false
	}
	root, err := parseYAML(doc.text)
	if err != nil {
		return l, []Diagnostic{doc.syntaxError(err)}, false
	}
	l = Loaded{Text: doc.text, File: doc.file, doc: doc}
	d := decoder{doc: doc, places: map[string]nodes{}, bad: map[string]bool{}}
	ok = d.decodeDocument(root, &l.Spec)
	l.places, l.bad = d.places, d.bad
	return l, d.ds, ok
}

// parseYAML parses exactly one document. A panic of the parser is an error, so that no input can end the process.
func parseYAML(text []byte) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("the text cannot be parsed: %v", r)
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, cmp.Or(err, errors.New("a second document starts without ---"))
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, errors.New("there is no document")
	}
	return doc.Content[0], nil
}

// parserPrefix is what the YAML parser writes before its message.
var parserPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxError says where a document stops being YAML. The parser's own line is that of the context and has no column, so the place is
// looked for: the end of the shortest text that has this very error.
func (d *document) syntaxError(err error) Diagnostic {
	n := sort.Search(len(d.text), func(n int) bool {
		_, e := parseYAML(d.text[:n])
		return e != nil && e.Error() == err.Error()
	})
	offset := max(0, n-1)
	if offset > 0 && (d.text[offset-1] == '[' || d.text[offset-1] == '{') {
		offset-- // a bracket that never closes is found out at its first item
	}
	line, column := d.place(offset)
	out := Diagnostic{Severity: SeverityError, Rule: "spec.syntax", File: d.file, Line: line, Column: column, Length: 1, Snippet: d.snippet(line),
		Summary: "this is not YAML: " + parserPrefix.ReplaceAllString(err.Error(), "")}
	switch rest := d.text[offset:]; {
	case len(rest) > 0 && rest[0] == '\t' || strings.HasPrefix(strings.TrimLeft(d.line(line), " "), "\t"):
		out.Next = "indent with spaces; YAML does not allow tabs"
	case len(rest) > 0 && strings.ContainsRune(`"'[{`, rune(rest[0])):
		out.Next = "close what opens here"
	}
	return out
}

// fieldOwners maps each field's name to the paths below which it may stand, for the advice about a misplaced field.
var fieldOwners = ownersOf(reflect.TypeFor[Database](), "", map[string][]string{})

func ownersOf(t reflect.Type, path string, owners map[string][]string) map[string][]string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			path += "[]"
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return owners
	}
	for _, f := range fieldsOf(t) {
		owners[f.name] = append(owners[f.name], strings.TrimPrefix(path+"."+f.name, "."))
		ownersOf(t.FieldByIndex(f.index).Type, strings.TrimPrefix(path+"."+f.name, "."), owners)
	}
	return owners
}

// field is one field of a spec type, by the name that it has in YAML.
type field struct {
	name  string
	index []int
}

func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			out = append(out, field{name, f.Index})
		}
	}
	return out
}

func fieldNames(t reflect.Type) []string {
	var out []string
	for _, f := range fieldsOf(t) {
		out = append(out, f.name)
	}
	slices.Sort(out)
	return out
}
