package terraform

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the hash of a version 5 UUID (RFC 9562), not a protection
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"

	"meridian/stacks"
)

// stateVersion is the only format of state files that terraform 1.11 and OpenTofu write.
const stateVersion = 4

// StateFile is what Meridian reads of a state file (format 4).
type StateFile struct {
	Version          int
	TerraformVersion string
	Serial           int64
	Lineage          string
	// Outputs are the root outputs that are not sensitive: strings, float64s, bools, []any, map[string]any.
	Outputs map[string]any
	// SensitiveOutputs names the outputs that were left out, sorted.
	SensitiveOutputs []string
	// Resources are in order of address; a current object comes before its deposed ones.
	Resources []StateResource
}

// StateResource is one object in a state; a deposed object has the address of the current one.
type StateResource struct {
	Address string
	Type    string
	// Mode is "managed" or "data".
	Mode    string
	Tainted bool
	Deposed string
}

type wireState struct {
	Version          int                   `json:"version"`
	TerraformVersion string                `json:"terraform_version"`
	Serial           *int64                `json:"serial"`
	Lineage          string                `json:"lineage"`
	Outputs          map[string]wireOutput `json:"outputs"`
	Resources        []wireStateResource   `json:"resources"`
}

type wireOutput struct {
	Value     json.RawMessage `json:"value"`
	Sensitive bool            `json:"sensitive"`
}

type wireStateResource struct {
	Module    string `json:"module"`
	Mode      string `json:"mode"`
	Type      string `json:"type"`
	Name      string `json:"name"`
	Instances []struct {
		IndexKey json.RawMessage `json:"index_key"`
		Status   string          `json:"status"`
		Deposed  string          `json:"deposed"`
	} `json:"instances"`
}

// ReadState reads a state file.
func ReadState(data []byte) (StateFile, error) {
	w, err := decodeState(data)
	if err != nil {
		return StateFile{}, err
	}
	s := StateFile{Version: w.Version, TerraformVersion: w.TerraformVersion, Serial: *w.Serial, Lineage: w.Lineage, Outputs: map[string]any{}}
	for name, o := range w.Outputs {
		if o.Sensitive {
			s.SensitiveOutputs = append(s.SensitiveOutputs, name)
			continue
		}
		var v any
		if len(o.Value) > 0 {
			if err := json.Unmarshal(o.Value, &v); err != nil {
				return StateFile{}, fmt.Errorf("state file: output %q: %w", name, err)
			}
		}
		s.Outputs[name] = v
	}
	sort.Strings(s.SensitiveOutputs)
	for _, r := range w.Resources {
		for _, i := range r.Instances {
			address, err := instanceAddress(r, i.IndexKey)
			if err != nil {
				return StateFile{}, err
			}
			s.Resources = append(s.Resources, StateResource{
				Address: address, Type: r.Type, Mode: r.Mode, Tainted: i.Status == "tainted", Deposed: i.Deposed,
			})
		}
	}
	sort.SliceStable(s.Resources, func(i, j int) bool {
		a, b := s.Resources[i], s.Resources[j]
		if a.Address != b.Address {
			return a.Address < b.Address
		}
		return a.Deposed < b.Deposed
	})
	return s, nil
}

// SensitiveOutput reads the value of a root output, sensitive or not; ok is false where the state has none of that name. The caller must not
// log it or return it to a user.
func SensitiveOutput(data []byte, name string) (v any, ok bool, err error) {
	w, err := decodeState(data)
	if err != nil {
		return nil, false, err
	}
	o, ok := w.Outputs[name]
	if !ok || len(o.Value) == 0 {
		return nil, ok, nil
	}
	if err := json.Unmarshal(o.Value, &v); err != nil {
		return nil, false, fmt.Errorf("state file: output %q: %w", name, err)
	}
	return v, true, nil
}

// decodeState reads exactly one whole JSON document of the right format.
func decodeState(data []byte) (wireState, error) {
	var w wireState
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&w); err != nil {
		return w, fmt.Errorf("state file: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return w, errors.New("state file: text after its end")
	}
	switch {
	case w.Version != stateVersion:
		return w, fmt.Errorf("state file: format version %d, want %d", w.Version, stateVersion)
	case w.Serial == nil || *w.Serial < 0:
		return w, errors.New("state file: no serial")
	case w.Lineage == "":
		return w, errors.New("state file: no lineage")
	}
	return w, nil
}

func instanceAddress(r wireStateResource, key json.RawMessage) (string, error) {
	address := r.Type + "." + r.Name
	if r.Mode == "data" {
		address = "data." + address
	}
	if r.Module != "" {
		address = r.Module + "." + address
	}
	if len(key) == 0 || string(key) == "null" {
		return address, nil
	}
	var k any
	dec := json.NewDecoder(bytes.NewReader(key))
	dec.UseNumber()
	if err := dec.Decode(&k); err != nil {
		return "", fmt.Errorf("state file: index of %s: %w", address, err)
	}
	switch k := k.(type) {
	case string:
		return address + "[" + strconv.Quote(k) + "]", nil
	case json.Number:
		return address + "[" + k.String() + "]", nil
	}
	return "", fmt.Errorf("state file: index of %s is neither text nor a number", address)
}

// emptyStateWriter is the terraform version that an empty state names: old enough for every binary that Meridian takes.
const emptyStateWriter = "1.11.0"

// EmptyState is the state that a stack is born with: lineage from its ID, serial 1, nothing in it. A plan that was made on it can be
// applied only once, which is not so with no state at all (hashicorp/terraform#27721).
func EmptyState(id stacks.StackID) []byte {
	return fmt.Appendf(nil, `{
  "version": %d,
  "terraform_version": %q,
  "serial": 1,
  "lineage": %q,
  "outputs": {},
  "resources": [],
  "check_results": null
}
`, stateVersion, emptyStateWriter, lineage(id))
}

// lineage is a version 5 UUID of the stack's ID.
func lineage(id stacks.StackID) string {
	sum := sha1.Sum([]byte("meridian stack " + id.String())) //nolint:gosec // see the import
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// ValidSnapshot reports whether data is a whole state file, and not one that terraform is just rewriting in place.
func ValidSnapshot(data []byte) bool {
	_, err := ReadState(data)
	return err == nil
}

// RaiseSerial is the same state under the next serial: a plan that was made on the one before can then never be applied.
func RaiseSerial(data []byte) ([]byte, error) {
	w, err := decodeState(data)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	for depth := 0; ; {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("state file: %w", err)
		}
		switch t := t.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
			continue
		case string:
			if depth != 1 {
				continue
			}
			var value json.RawMessage
			if err := dec.Decode(&value); err != nil {
				return nil, fmt.Errorf("state file: %w", err)
			}
			if t != "serial" {
				continue
			}
			end := dec.InputOffset()
			out := append([]byte(nil), data[:end-int64(len(value))]...)
			return append(strconv.AppendInt(out, *w.Serial+1, 10), data[end:]...), nil
		}
	}
}
