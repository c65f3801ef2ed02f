package stacks

import (
	"encoding"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Settings is what a region's provider alone understands: a tree of texts, truth values, numbers (float64), lists ([]any) and maps
// (map[string]any), as it survives its JSON. The provider reads it with DecodeSettings.
type Settings map[string]any

// largestWhole is the largest number up to which each whole number survives its JSON.
const largestWhole = 1 << 53

// decodeFree reads a value of which only a provider knows the shape, and remembers the place of each part of it.
func (d *decoder) decodeFree(n *yaml.Node, path string) any {
	if d.count++; d.count > maxNodes {
		if d.count == maxNodes+1 {
			d.report(n, path, Diagnostic{Rule: "spec.size", Summary: fmt.Sprintf("the spec holds more than %d values once its aliases are expanded", maxNodes)})
		}
		return nil
	}
	if _, seen := d.places[path]; !seen {
		d.places[path] = nodes{from: n, to: n}
	}
	use := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		d.eachPair(n, path, func(key, value *yaml.Node) {
			at := join(path, key.Value)
			if value.Kind == yaml.MappingNode || value.Kind == yaml.SequenceNode {
				d.places[at] = nodes{from: key, to: key}
			} else {
				d.places[at] = nodes{from: key, to: value}
			}
			out[key.Value] = d.decodeFree(value, at)
		})
		return out
	case yaml.SequenceNode:
		out := []any{}
		for i, item := range n.Content {
			if d.count > maxNodes {
				break
			}
			out = append(out, d.decodeFree(item, fmt.Sprintf("%s[%d]", path, i)))
		}
		return out
	}
	return d.freeScalar(n, use, path)
}

func (d *decoder) freeScalar(n, use *yaml.Node, path string) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!str":
		return n.Value
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		var f float64
		if err := n.Decode(&f); err == nil && !math.IsNaN(f) && math.Abs(f) <= largestWhole {
			return f
		}
	}
	d.report(use, path, Diagnostic{Rule: "spec.type", Summary: fmt.Sprintf("%s is a text, a number, true or false; this is %s", path, kindOf(n)),
		Next: fmt.Sprintf("quote it: %q", brief(n.Value))})
	return nil
}

// DecodeSettings reads settings into the struct that into points to, strictly: a field that the struct has not, a value of another type, and
// a missing field whose tag says required:"true" are each told with the Field where it stands, below path. Fields are named by their yaml
// tags. A value that is null counts as left out.
func DecodeSettings(s Settings, path string, into any) []Diagnostic {
	r := settingsReader{}
	r.structure(map[string]any(s), reflect.ValueOf(into).Elem(), path)
	return r.ds
}

type settingsReader struct{ ds []Diagnostic }

func (r *settingsReader) refuse(rule, path, next, format string, args ...any) {
	if len(r.ds) < maxDiagnostics {
		r.ds = append(r.ds, Diagnostic{Severity: SeverityError, Rule: rule, Field: path, Summary: fmt.Sprintf(format, args...), Next: next})
	}
}

// wrong refuses a value of another type than what is wanted.
func (r *settingsReader) wrong(path, wanted string, v any) {
	next := ""
	switch v := v.(type) {
	case float64:
		if wanted == "a text" {
			next = fmt.Sprintf("quote it: %q", strconv.FormatFloat(v, 'f', -1, 64))
		}
	case bool:
		if wanted == "a text" {
			next = fmt.Sprintf("quote it: %q", strconv.FormatBool(v))
		}
	case string:
		if wanted != "a text" && wanted != "a list" && wanted != "a map" && v != "" {
			next = "write " + wanted + ", without quotes"
		}
	}
	r.refuse("spec.type", path, next, "%s is %s; this is %s", path, wanted, kindOfValue(v))
}

func kindOfValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "empty"
	case string:
		return fmt.Sprintf("the text %q", brief(v))
	case bool:
		return fmt.Sprintf("the truth value %t", v)
	case float64:
		return "the number " + strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		return "a list"
	}
	return "a map"
}

func (r *settingsReader) value(in any, v reflect.Value, path string) {
	if in == nil {
		return
	}
	if v.CanAddr() && v.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		text, ok := in.(string)
		if !ok {
			r.wrong(path, "a text", in)
		} else if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			r.refuse("spec.type", path, "", "%s: %s", path, err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(in, v.Elem(), path)
	case reflect.Interface:
		v.Set(reflect.ValueOf(in))
	case reflect.Struct:
		if m, ok := in.(map[string]any); ok {
			r.structure(m, v, path)
		} else {
			r.refuse("spec.type", path, "its fields are "+strings.Join(fieldNames(v.Type()), ", "), "%s is a map; this is %s", path, kindOfValue(in))
		}
	case reflect.Map:
		r.mapping(in, v, path)
	case reflect.Slice:
		r.list(in, v, path)
	default:
		r.scalar(in, v, path)
	}
}

func (r *settingsReader) structure(in map[string]any, v reflect.Value, path string) {
	fields, names := fieldsOf(v.Type()), fieldNames(v.Type())
	for _, name := range slices.Sorted(maps.Keys(in)) {
		at := join(path, name)
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			next := "the fields here are " + strings.Join(names, ", ")
			if s := suggest(name, names); s != "" {
				next = fmt.Sprintf("did you mean %q?", s)
			}
			r.refuse("spec.unknown-field", at, next, "unknown field %q in %s", brief(name), path)
			continue
		}
		r.value(in[name], v.FieldByIndex(fields[i].index), at)
	}
	for _, f := range fields {
		if v.Type().FieldByIndex(f.index).Tag.Get("required") == "true" && in[f.name] == nil {
			r.refuse("spec.required", join(path, f.name), "", "%s is missing", join(path, f.name))
		}
	}
}

func (r *settingsReader) mapping(in any, v reflect.Value, path string) {
	m, ok := in.(map[string]any)
	if !ok {
		r.wrong(path, "a map", in)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		e := reflect.New(v.Type().Elem()).Elem()
		r.value(m[name], e, join(path, name))
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), e)
	}
}

func (r *settingsReader) list(in any, v reflect.Value, path string) {
	l, ok := in.([]any)
	if !ok {
		r.wrong(path, "a list", in)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(l), len(l)))
	for i, item := range l {
		r.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (r *settingsReader) scalar(in any, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := in.(string); ok {
			v.SetString(s)
		} else {
			r.wrong(path, "a text", in)
		}
	case reflect.Bool:
		if b, ok := in.(bool); ok {
			v.SetBool(b)
		} else {
			r.wrong(path, "true or false", in)
		}
	case reflect.Int, reflect.Int64:
		if f, ok := in.(float64); ok && f == math.Trunc(f) {
			v.SetInt(int64(f))
		} else {
			r.wrong(path, "a whole number", in)
		}
	case reflect.Float64:
		if f, ok := in.(float64); ok {
			v.SetFloat(f)
		} else {
			r.wrong(path, "a number", in)
		}
	}
}
