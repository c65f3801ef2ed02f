package stacks

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// keywords mean something else than their name where an object's key is expected.
var keywords = []string{"for", "null", "true", "false"}

// plainKey is an object's key that needs no quotes. HCL allows more, and among it a byte order mark, which its own formatter then splits off.
var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// valueTokens writes a value as an HCL literal: a string, bool, number, list or map of these, or nil.
func valueTokens(v any) (hclwrite.Tokens, error) {
	switch v := v.(type) {
	case nil:
		return hclwrite.TokensForIdentifier("null"), nil
	case bool:
		return hclwrite.TokensForValue(cty.BoolVal(v)), nil
	case int:
		return hclwrite.TokensForValue(cty.NumberIntVal(int64(v))), nil
	case int64:
		return hclwrite.TokensForValue(cty.NumberIntVal(v)), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%v is no number of Terraform", v)
		}
		return hclwrite.TokensForValue(cty.NumberFloatVal(v)), nil
	case Variable:
		return hclwrite.TokensForTraversal(traversal("var", string(v))), nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%q is not UTF-8", v)
		}
		return stringTokens(v), nil
	case []string:
		return listTokens(v)
	case []any:
		return listTokens(v)
	case map[string]string:
		return objectTokens(v)
	case map[string]any:
		return objectTokens(v)
	}
	return nil, fmt.Errorf("a %T cannot be written as Terraform", v)
}

func listTokens[T any](list []T) (hclwrite.Tokens, error) {
	var items []hclwrite.Tokens
	for i, item := range list {
		tokens, err := valueTokens(item)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		items = append(items, tokens)
	}
	return hclwrite.TokensForTuple(items), nil
}

func objectTokens[T any](m map[string]T) (hclwrite.Tokens, error) {
	var attrs []hclwrite.ObjectAttrTokens
	for _, key := range sortedKeys(m) {
		value, err := valueTokens(m[key])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		name, err := valueTokens(key)
		if err != nil {
			return nil, err
		}
		if plainKey.MatchString(key) && !slices.Contains(keywords, key) {
			name = hclwrite.TokensForIdentifier(key)
		}
		attrs = append(attrs, hclwrite.ObjectAttrTokens{Name: name, Value: value})
	}
	if len(attrs) == 0 {
		return hclwrite.TokensForValue(cty.EmptyObjectVal), nil
	}
	return hclwrite.TokensForObject(attrs), nil
}

func stringTokens(s string) hclwrite.Tokens { return hclwrite.TokensForValue(cty.StringVal(s)) }

func traversal(root string, steps ...string) hcl.Traversal {
	out := hcl.Traversal{hcl.TraverseRoot{Name: root}}
	for _, s := range steps {
		out = append(out, hcl.TraverseAttr{Name: s})
	}
	return out
}

// comment writes whole-line comments; the lines are ours and hold no line break.
func comment(body *hclwrite.Body, lines ...string) {
	for _, l := range lines {
		body.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte("# " + l + "\n")}})
	}
	body.AppendNewline()
}

// file formats a file as `terraform fmt` does.
func file(path string, f *hclwrite.File) File {
	return File{Path: path, Content: hclwrite.Format(f.Bytes())}
}
