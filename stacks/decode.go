package stacks

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder reads a YAML tree into a spec, strictly, and remembers where each field stands.
type decoder struct {
	doc    *document
	ds     []Diagnostic
	places map[string]nodes
	// bad holds the fields that were complained about.
	bad   map[string]bool
	count int
	full  bool
}

// report adds an error at a node. After maxDiagnostics it only says that there are more.
func (d *decoder) report(n *yaml.Node, path string, diag Diagnostic) {
	d.bad[path] = true
	if d.full {
		return
	}
	at := d.doc.spanOf(n)
	diag.Severity, diag.Field = SeverityError, path
	diag.File, diag.Line, diag.Column, diag.Length, diag.Snippet = d.doc.file, at.line, at.column, at.length, d.doc.snippet(at.line)
	if len(d.ds) == maxDiagnostics {
		d.full = true
		diag.Summary, diag.Detail, diag.Next, diag.Rule = "there are more errors", "", "mend the ones above first", "spec.errors"
	}
	d.ds = append(d.ds, diag)
}

// decodeDocument reads the root. It reports false where the rest of the document cannot be read as a database.
func (d *decoder) decodeDocument(root *yaml.Node, db *Database) bool {
	if root.Kind != yaml.MappingNode {
		d.report(root, "", Diagnostic{Rule: "spec.type", Summary: "a spec is a map; this is " + kindOf(root),
			Next: "start with apiVersion: " + APIVersion})
		return false
	}
	version, kind := scalarField(root, "apiVersion"), scalarField(root, "kind")
	switch {
	case version == nil:
		d.report(root, "apiVersion", Diagnostic{Rule: "spec.version", Summary: "apiVersion is missing", Next: "write apiVersion: " + APIVersion})
	case version.Value != APIVersion:
		d.report(version, "apiVersion", Diagnostic{Rule: "spec.version", Summary: fmt.Sprintf("unknown apiVersion %q", brief(version.Value)),
			Next: "write apiVersion: " + APIVersion})
	}
	switch {
	case kind == nil:
		d.report(root, "kind", Diagnostic{Rule: "spec.kind", Summary: "kind is missing", Next: "write kind: " + KindDatabase})
	case suggest(kind.Value, []string{KindDatabase}) == "":
		d.report(kind, "kind", Diagnostic{Rule: "spec.kind", Summary: fmt.Sprintf("unknown kind %q", brief(kind.Value)),
			Next: "this Meridian knows only kind: " + KindDatabase})
		return false
	case kind.Value != KindDatabase:
		d.report(kind, "kind", Diagnostic{Rule: "spec.kind", Summary: fmt.Sprintf("unknown kind %q", brief(kind.Value)),
			Next: fmt.Sprintf("did you mean %q?", KindDatabase)})
	}
	d.decode(root, reflect.ValueOf(db).Elem(), "")
	return d.count <= maxNodes
}

// scalarField returns the scalar of a key of a map, or nil.
func scalarField(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		v := m.Content[i+1]
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if m.Content[i].Value == key && v.Kind == yaml.ScalarNode && v.ShortTag() != "!!null" {
			return v
		}
	}
	return nil
}

// decode reads one value. Its depth is that of the spec's types, not that of the input.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	if d.count++; d.count > maxNodes {
		if d.count == maxNodes+1 {
			d.report(n, path, Diagnostic{Rule: "spec.size", Summary: fmt.Sprintf("the spec holds more than %d values once its aliases are expanded", maxNodes)})
		}
		return
	}
	if _, seen := d.places[path]; !seen {
		d.places[path] = nodes{from: n, to: n}
	}
	use := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		if k := v.Kind(); k != reflect.Struct && k != reflect.Slice && k != reflect.Map {
			d.report(use, path, Diagnostic{Rule: "spec.type", Summary: path + " has no value", Next: "give it one, or leave it out"})
		}
		return
	}
	switch {
	case v.CanAddr() && v.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		d.decodeText(n, use, v, path)
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decodeScalar(n, use, p.Elem(), path)
		if !d.bad[path] {
			v.Set(p)
		}
	case v.Type() == reflect.TypeFor[Settings]():
		if n.Kind != yaml.MappingNode {
			d.report(use, path, Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is a map; this is %s", path, kindOf(n))})
			return
		}
		d.count--
		if m, ok := d.decodeFree(n, path).(map[string]any); ok && len(m) > 0 {
			v.Set(reflect.ValueOf(Settings(m)))
		}
	case v.Kind() == reflect.Struct:
		d.decodeStruct(n, use, v, path)
	case v.Kind() == reflect.Map:
		d.decodeMap(n, use, v, path)
	case v.Kind() == reflect.Slice:
		d.decodeSlice(n, use, v, path)
	default:
		d.decodeScalar(n, use, v, path)
	}
}

func (d *decoder) decodeScalar(n, use *yaml.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
			v.SetString(n.Value)
			return
		}
		diag := Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is a text; this is %s", path, kindOf(n))}
		if n.Kind == yaml.ScalarNode {
			diag.Next = fmt.Sprintf("quote it: %q", brief(n.Value))
		}
		d.report(use, path, diag)
	case reflect.Int64:
		var whole int64
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" && n.Decode(&whole) == nil {
			v.SetInt(whole)
			return
		}
		d.report(use, path, Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is a whole number; this is %s", path, kindOf(n)), Next: "write it without quotes, like 2"})
	case reflect.Bool:
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
			v.SetBool(strings.EqualFold(n.Value, "true"))
			return
		}
		diag := Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is true or false; this is %s", path, kindOf(n))}
		switch strings.ToLower(n.Value) {
		case "yes", "on", "y", "1", "true":
			diag.Next = "write true"
		case "no", "off", "n", "0", "false":
			diag.Next = "write false"
		}
		d.report(use, path, diag)
	}
}

// decodeText reads a type that has its own text form, like a duration.
func (d *decoder) decodeText(n, use *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.report(use, path, Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is one value; this is %s", path, kindOf(n))})
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(brief(n.Value))); err != nil {
		d.report(use, path, Diagnostic{Rule: "spec.type", Summary: path + ": " + err.Error()})
	}
}

func (d *decoder) decodeStruct(n, use *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.report(use, path, Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is a map; this is %s", name(path), kindOf(n)),
			Next: "its fields are " + strings.Join(fieldNames(v.Type()), ", ")})
		return
	}
	fields := fieldsOf(v.Type())
	d.eachPair(n, path, func(key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if i < 0 {
			d.unknownField(n, key, path, v.Type())
			return
		}
		at := join(path, key.Value)
		if value.Kind == yaml.MappingNode || value.Kind == yaml.SequenceNode {
			d.places[at] = nodes{from: key, to: key} // its name is what a person looks for
		}
		d.decode(value, v.FieldByIndex(fields[i].index), at)
	})
}

func (d *decoder) decodeMap(n, use *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.report(use, path, Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is a map of names and texts; this is %s", path, kindOf(n))})
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.eachPair(n, path, func(key, value *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.places[join(path, key.Value)] = nodes{from: key, to: value} // the name may be wrong as well as the value
		d.decode(value, e, join(path, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value), e)
	})
}

func (d *decoder) decodeSlice(n, use *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.report(use, path, Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is a list; this is %s", path, kindOf(n)),
			Next: "start each of its items with -, or put them in [ ]"})
		return
	}
	for i, item := range n.Content {
		if d.count > maxNodes {
			return
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.decode(item, e, fmt.Sprintf("%s[%d]", path, i))
		v.Set(reflect.Append(v, e))
	}
}

// eachPair calls f for each key of a map that is a text and stands there once.
func (d *decoder) eachPair(n *yaml.Node, path string, f func(key, value *yaml.Node)) {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content) && d.count <= maxNodes; i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			d.report(n.Content[i], path, Diagnostic{Rule: "spec.type", Summary: "merge keys (<<) are not supported", Next: "write the fields out"})
			continue
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			d.report(n.Content[i], path, Diagnostic{Rule: "spec.type", Summary: "a field's name is a text; this is " + kindOf(key)})
			continue
		}
		at := n.Content[i].Line + d.doc.first - 1
		if first, twice := lines[key.Value]; twice {
			d.report(n.Content[i], join(path, key.Value), Diagnostic{Rule: "spec.duplicate-key", Summary: fmt.Sprintf("%q is given twice", brief(key.Value)),
				Detail: fmt.Sprintf("the first is in line %d", first)})
			continue
		}
		lines[key.Value] = at
		f(key, n.Content[i+1])
	}
}

func hasKey(n *yaml.Node, name string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return true
		}
	}
	return false
}

// unknownField says what may have been meant in the map n: a field here, or one of this name elsewhere.
func (d *decoder) unknownField(n, key *yaml.Node, path string, t reflect.Type) {
	if d.full {
		return
	}
	names := fieldNames(t)
	diag := Diagnostic{Rule: "spec.unknown-field", Summary: fmt.Sprintf("unknown field %q", brief(key.Value)), Next: "the fields here are " + strings.Join(names, ", ")}
	if path != "" {
		diag.Summary += " in " + path
	}
	if s := suggest(key.Value, names); s != "" {
		diag.Next = fmt.Sprintf("did you mean %q?", s)
		if !hasKey(n, s) { // the field that was meant is there, misspelt: it is not missing
			d.bad[join(path, s)] = true
		}
	} else if owners := fieldOwners[key.Value]; len(owners) > 0 {
		diag.Next = "it belongs at " + strings.Join(owners, " or ")
		for _, o := range owners {
			d.bad[o] = true
		}
	}
	bad := join(path, key.Value)
	d.report(key, bad, diag)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func name(path string) string {
	if path == "" {
		return "the spec"
	}
	return path
}

// kindOf names what a node is, for people.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!str":
		return fmt.Sprintf("the text %q", brief(n.Value))
	case "!!int", "!!float":
		return "the number " + brief(n.Value)
	case "!!bool":
		return "the truth value " + brief(n.Value)
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "the date " + brief(n.Value)
	}
	return "a value of type " + brief(n.ShortTag())
}
