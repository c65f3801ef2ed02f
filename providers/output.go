package providers

import (
	"encoding/json"
	"math"
)

// WholeNumber reads an output that is a whole number, like a port, however its JSON was decoded.
func WholeNumber(v any) (int, bool) {
	switch n := v.(type) {
	case int:
		return n, true
	case int64:
		return int(n), true
	case float64:
		return int(n), n == math.Trunc(n)
	case json.Number:
		i, err := n.Int64()
		return int(i), err == nil
	}
	return 0, false
}
