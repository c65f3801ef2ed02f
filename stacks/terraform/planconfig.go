package terraform

import (
	"archive/zip"
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"meridian/stacks"
)

// configPrefix is where a plan file keeps the configuration: a folder "m-MODULE.CHILD" for each module.
const configPrefix = "tfconfig/m-"

// MovedAttributes leaves of a plan's drift what its configuration sets: whole objects, and attributes that stand in the resource's block.
// What a provider only computes moves by itself. Configurations in JSON are not read: of them only whole objects are kept.
func MovedAttributes(planFile []byte, drift []stacks.Change) ([]stacks.Change, error) {
	if len(drift) == 0 {
		return nil, nil
	}
	set, err := configured(planFile)
	if err != nil {
		return nil, err
	}
	var out []stacks.Change
	for _, c := range drift {
		if c.Action != stacks.ActionUpdate {
			if c.Action == stacks.ActionDelete {
				out = append(out, c)
			}
			continue
		}
		names := set[resourceKey(c.Address)]
		c.Attributes = slices.DeleteFunc(slices.Clone(c.Attributes), func(a stacks.AttributeChange) bool { return a.Unknown || !names[firstName(a.Path)] })
		if len(c.Attributes) > 0 {
			out = append(out, c)
		}
	}
	return out, nil
}

// MarkEchoes marks in a plan's changes the attributes that its configuration does not set and that change from and to the same, at the same place
// within, as another of the object: one that it sets, or one listed before. Two numbers or words that are alike by chance are no echoes, so
// both have to hold more than one value. Configurations in JSON set nothing that is read here.
func MarkEchoes(planFile []byte, changes []stacks.Change) error {
	if len(changes) == 0 {
		return nil
	}
	set, err := configured(planFile)
	if err != nil {
		return err
	}
	for _, c := range changes {
		names := set[resourceKey(c.Address)]
		for i, a := range c.Attributes {
			name := firstName(a.Path)
			if names[name] || a.Unknown || a.Sensitive || a.Path == name && !compound(a.Before) && !compound(a.After) {
				continue
			}
			for n, b := range c.Attributes {
				of := firstName(b.Path)
				if of != name && (names[of] || n < i) && !b.Unknown && !b.Sensitive && b.Path[len(of):] == a.Path[len(name):] && b.Before == a.Before && b.After == a.After {
					c.Attributes[i].Echo = true
				}
			}
		}
	}
	return nil
}

// compound reports whether the JSON text of a value is that of a map, an object or a list.
func compound(value string) bool {
	return strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[")
}

// configured maps each resource of a plan's configuration ("module.child/type.name") to the names that its block sets.
func configured(planFile []byte) (map[string]map[string]bool, error) {
	z, err := zip.NewReader(bytes.NewReader(planFile), int64(len(planFile)))
	if err != nil {
		return nil, fmt.Errorf("plan file: %w", err)
	}
	out := map[string]map[string]bool{}
	for _, f := range z.File {
		module, ok := strings.CutPrefix(path.Dir(f.Name), configPrefix)
		if !ok || path.Ext(f.Name) != ".tf" {
			continue
		}
		text, err := unpackEntry(f)
		if err != nil {
			return nil, fmt.Errorf("plan file: %w", err)
		}
		parsed, diags := hclsyntax.ParseConfig(text, f.Name, hcl.InitialPos)
		if diags.HasErrors() {
			return nil, fmt.Errorf("plan file: its configuration: %w", diags)
		}
		body, ok := parsed.Body.(*hclsyntax.Body)
		if !ok {
			continue
		}
		for _, b := range body.Blocks {
			if b.Type == "resource" && len(b.Labels) == 2 {
				out[module+"/"+b.Labels[0]+"."+b.Labels[1]] = namesIn(b.Body)
			}
		}
	}
	return out, nil
}

// namesIn are the attributes and blocks that a resource's block sets.
func namesIn(body *hclsyntax.Body) map[string]bool {
	names := map[string]bool{}
	for name := range body.Attributes {
		names[name] = true
	}
	for _, b := range body.Blocks {
		if b.Type == "dynamic" && len(b.Labels) == 1 {
			names[b.Labels[0]] = true
			continue
		}
		names[b.Type] = true
	}
	return names
}

// resourceKey is an address as configured has it: without the keys of its instances.
func resourceKey(address string) string {
	local := localAddress(address)
	modules := strings.TrimSuffix(strings.TrimSuffix(address, local), ".")
	var calls []string
	for _, part := range splitAddress(modules) {
		if part != "module" {
			calls = append(calls, part)
		}
	}
	return strings.Join(calls, ".") + "/" + strings.Join(splitAddress(local), ".")
}

// splitAddress cuts an address at its dots and leaves out the keys of instances, which may hold dots.
func splitAddress(address string) []string {
	var out []string
	var word strings.Builder
	for i := 0; i < len(address); i++ {
		switch address[i] {
		case '[':
			end := indexEnd(address[i:])
			if end < 0 {
				return out
			}
			i += end
		case '.':
			out = append(out, word.String())
			word.Reset()
		case ' ': // a deposed object's key follows
			i = len(address)
		default:
			word.WriteByte(address[i])
		}
	}
	if word.Len() > 0 {
		out = append(out, word.String())
	}
	return out
}

// firstName is the attribute of the resource in which a path lies.
func firstName(p string) string {
	if i := strings.IndexAny(p, ".["); i >= 0 {
		return p[:i]
	}
	return p
}
