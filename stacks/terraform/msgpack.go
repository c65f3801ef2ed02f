package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
)

// Limits of the values of one plan.
const (
	maxDepth  = 200
	maxValues = 4 << 20
)

var errPlanValues = errors.New("more values than any real plan has")

// dynamic reads a DynamicValue; its only encoding is msgpack.
func (r *planReader) dynamic(msg []byte) (*value, error) {
	var packed []byte
	err := eachField(msg, func(f field) error {
		if f.id == 1 {
			packed = f.bytes
		}
		return nil
	})
	if err != nil || len(packed) == 0 {
		return nil, err
	}
	return r.unpack(msgpack.NewDecoder(bytes.NewReader(packed)), 0)
}

// unpack reads one value as go-cty writes it: an extension is an unknown value, a pair that starts with bytes is a value with its type,
// numbers that no int64 and no float64 holds are text.
func (r *planReader) unpack(dec *msgpack.Decoder, depth int) (*value, error) {
	if r.values++; r.values > maxValues || depth > maxDepth {
		return nil, errPlanValues
	}
	code, err := dec.PeekCode()
	if err != nil {
		return nil, valueError(err)
	}
	switch kindOf(code) {
	case packedNil:
		return nil, valueError(dec.DecodeNil())
	case packedBool:
		b, err := dec.DecodeBool()
		return &value{text: strconv.FormatBool(b)}, valueError(err)
	case packedString:
		s, err := dec.DecodeString()
		return stringLeaf(s), valueError(err)
	case packedInt:
		n, err := dec.DecodeInt64()
		return &value{text: strconv.FormatInt(n, 10)}, valueError(err)
	case packedUint:
		n, err := dec.DecodeUint64()
		return &value{text: strconv.FormatUint(n, 10)}, valueError(err)
	case packedFloat:
		f, err := dec.DecodeFloat64()
		return numberLeaf(strconv.FormatFloat(f, 'f', -1, 64)), valueError(err)
	case packedArray:
		return r.unpackArray(dec, depth)
	case packedMap:
		return r.unpackMap(dec, depth)
	case packedExt:
		return &value{unknown: true}, valueError(skipExt(dec))
	}
	return nil, fmt.Errorf("value of an unknown encoding %#x", code)
}

func skipExt(dec *msgpack.Decoder) error {
	_, size, err := dec.DecodeExtHeader()
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, dec.Buffered(), int64(size))
	return err
}

func (r *planReader) unpackArray(dec *msgpack.Decoder, depth int) (*value, error) {
	n, err := dec.DecodeArrayLen()
	if err != nil {
		return nil, valueError(err)
	}
	if n == 2 {
		if code, err := dec.PeekCode(); err == nil && kindOf(code) == packedBytes {
			return r.unpackTyped(dec, depth)
		}
	}
	v := &value{kind: listValue}
	for range n {
		e, err := r.unpack(dec, depth+1)
		if err != nil {
			return nil, err
		}
		v.list = append(v.list, e)
	}
	return v, nil
}

// unpackTyped reads a dynamic value: its type as JSON bytes, then itself. The type tells numbers from text.
func (r *planReader) unpackTyped(dec *msgpack.Decoder, depth int) (*value, error) {
	text, err := dec.DecodeBytes()
	if err != nil {
		return nil, valueError(err)
	}
	v, err := r.unpack(dec, depth+1)
	if err != nil {
		return nil, err
	}
	var typ any
	if json.Unmarshal(text, &typ) == nil {
		v.retype(typ)
	}
	return v, nil
}

// retype turns text into numbers where the type says so: "number", ["list", T], ["object", {name: T}, [optional]], ["tuple", [T...]].
func (v *value) retype(typ any) {
	if v == nil || v.unknown {
		return
	}
	if typ == "number" {
		if s, err := strconv.Unquote(v.text); err == nil {
			*v = *numberLeaf(s)
		}
		return
	}
	t, ok := typ.([]any)
	if !ok || len(t) < 2 {
		return
	}
	switch parts := t[1].(type) {
	case map[string]any:
		for name, part := range parts {
			v.fields[name].retype(part)
		}
	case []any:
		if t[0] == "tuple" {
			for i := range min(len(parts), len(v.list)) {
				v.list[i].retype(parts[i])
			}
			return
		}
		v.retypeElements(parts)
	default:
		v.retypeElements(parts)
	}
}

func (v *value) retypeElements(typ any) {
	for _, e := range v.list {
		e.retype(typ)
	}
	for _, e := range v.fields {
		e.retype(typ)
	}
}

func (r *planReader) unpackMap(dec *msgpack.Decoder, depth int) (*value, error) {
	n, err := dec.DecodeMapLen()
	if err != nil {
		return nil, valueError(err)
	}
	v := &value{kind: mapValue, fields: map[string]*value{}}
	for range n {
		code, err := dec.PeekCode()
		if err != nil {
			return nil, valueError(err)
		}
		if kindOf(code) != packedString {
			return nil, errors.New("map with a key that is no text")
		}
		k, err := dec.DecodeString()
		if err != nil {
			return nil, valueError(err)
		}
		if v.fields[k], err = r.unpack(dec, depth+1); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// path reads a Path: steps of attribute names, keys and indexes.
func (r *planReader) path(msg []byte) ([]step, error) {
	var path []step
	err := eachField(msg, func(f field) error {
		if f.id != 1 {
			return nil
		}
		return eachField(f.bytes, func(f field) error {
			switch f.id {
			case 1:
				path = append(path, step{name: string(f.bytes), named: true})
			case 2:
				key, err := r.dynamic(f.bytes)
				path = append(path, keyStep(key))
				return err
			}
			return nil
		})
	})
	return path, err
}

// keyStep is an index or a key; anything else (an element of a set) is a step that leads nowhere.
func keyStep(key *value) step {
	if key == nil || key.kind != leafValue || key.unknown {
		return step{index: -1}
	}
	if i, err := strconv.Atoi(key.text); err == nil {
		return step{index: i}
	}
	if strings.HasPrefix(key.text, `"`) {
		var name string
		if json.Unmarshal([]byte(key.text), &name) == nil {
			return step{name: name, named: true}
		}
	}
	return step{index: -1}
}

type packedKind int

const (
	packedOther packedKind = iota
	packedNil
	packedBool
	packedString
	packedBytes
	packedInt
	packedUint
	packedFloat
	packedArray
	packedMap
	packedExt
)

// kindOf sorts the first bytes of the msgpack specification.
func kindOf(c byte) packedKind {
	switch {
	case c <= 0x7f, c >= 0xe0, c >= 0xd0 && c <= 0xd3:
		return packedInt
	case c >= 0x80 && c <= 0x8f, c == 0xde, c == 0xdf:
		return packedMap
	case c >= 0x90 && c <= 0x9f, c == 0xdc, c == 0xdd:
		return packedArray
	case c >= 0xa0 && c <= 0xbf, c >= 0xd9 && c <= 0xdb:
		return packedString
	case c >= 0xc4 && c <= 0xc6:
		return packedBytes
	case c >= 0xc7 && c <= 0xc9, c >= 0xd4 && c <= 0xd8:
		return packedExt
	case c >= 0xcc && c <= 0xcf:
		return packedUint
	case c == 0xca, c == 0xcb:
		return packedFloat
	case c == 0xc2, c == 0xc3:
		return packedBool
	case c == 0xc0:
		return packedNil
	}
	return packedOther
}

func valueError(err error) error {
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return nil
}
