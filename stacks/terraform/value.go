package terraform

import (
	"encoding/json"
	"math/big"
	"sort"
	"strconv"
	"strings"
)

// value is one value of a plan: a leaf, a list or a map. A nil *value is null.
type value struct {
	// text is the JSON text of a leaf.
	text      string
	list      []*value
	fields    map[string]*value
	kind      valueKind
	unknown   bool
	sensitive bool
}

type valueKind int

const (
	leafValue valueKind = iota
	listValue
	mapValue
)

// step is one step of a path: a name (of an attribute or a key of a map), or an index.
type step struct {
	name  string
	index int
	named bool
}

func stringLeaf(s string) *value { return &value{text: jsonText(s)} }

// numberLeaf writes a number in one way, however it was written.
func numberLeaf(text string) *value {
	if f, _, err := big.ParseFloat(text, 10, 512, big.ToNearestEven); err == nil && len(text) < 64 && f.MantExp(nil) < 512 && f.MantExp(nil) > -512 {
		return &value{text: f.Text('f', -1)}
	}
	return &value{text: text}
}

func jsonText(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// mark sets the sensitive mark at a path; a null needs none. Where the path leads to nothing that is known (a set's element is named
// by its value), the mark stays at the last value that is: hiding too much is safe.
func (v *value) mark(path []step) {
	for v != nil {
		if len(path) == 0 {
			v.sensitive = true
			return
		}
		next, known := v.child(path[0])
		if !known {
			v.sensitive = true
			return
		}
		v, path = next, path[1:]
	}
}

func (v *value) child(s step) (child *value, known bool) {
	switch {
	case v.kind == mapValue && s.named:
		child, known = v.fields[s.name]
	case v.kind == listValue && !s.named && s.index >= 0 && s.index < len(v.list):
		child, known = v.list[s.index], true
	}
	return child, known
}

// marked reports whether something within the value is sensitive or unknown.
func (v *value) marked() bool {
	if v == nil {
		return false
	}
	if v.unknown || v.sensitive {
		return true
	}
	for _, e := range v.list {
		if e.marked() {
			return true
		}
	}
	for _, e := range v.fields {
		if e.marked() {
			return true
		}
	}
	return false
}

// plain reports whether the value is best shown in one piece: a leaf, an empty container or a list of leaves without marks.
func (v *value) plain() bool {
	if v == nil || v.kind == leafValue {
		return true
	}
	if v.kind == mapValue {
		return len(v.fields) == 0
	}
	for _, e := range v.list {
		if e != nil && (e.kind != leafValue || e.unknown || e.sensitive) {
			return false
		}
	}
	return true
}

// json is the value as JSON text. It must not be called on a value with marks.
func (v *value) json() string {
	if v == nil {
		return "null"
	}
	var b strings.Builder
	v.write(&b)
	return b.String()
}

func (v *value) write(b *strings.Builder) {
	switch {
	case v == nil:
		b.WriteString("null")
	case v.kind == listValue:
		b.WriteByte('[')
		for i, e := range v.list {
			if i > 0 {
				b.WriteByte(',')
			}
			e.write(b)
		}
		b.WriteByte(']')
	case v.kind == mapValue:
		b.WriteByte('{')
		for i, k := range sortedKeys(v.fields) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(jsonText(k) + ":")
			v.fields[k].write(b)
		}
		b.WriteByte('}')
	default:
		b.WriteString(v.text)
	}
}

// same compares two values; unknown is the same as nothing.
func same(a, b *value) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if a.unknown || b.unknown || a.kind != b.kind || len(a.list) != len(b.list) || len(a.fields) != len(b.fields) || a.text != b.text {
		return false
	}
	for i := range a.list {
		if !same(a.list[i], b.list[i]) {
			return false
		}
	}
	for k := range a.fields {
		other, ok := b.fields[k]
		if !ok || !same(a.fields[k], other) {
			return false
		}
	}
	return true
}

func sortedKeys(m map[string]*value) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
