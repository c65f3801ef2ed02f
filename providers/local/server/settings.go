package server

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// settingName is a parameter's name: PostgreSQL's own, or an extension's with its prefix.
var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$`)

// means reports whether the text that somebody wished for is what the server has: 64MB is 65536 kB, yes is on.
func (v setting) means(wished string) bool {
	wished = strings.TrimSpace(wished)
	switch v.kind {
	case "bool":
		have, ok1 := parseBool(v.value)
		want, ok2 := parseBool(wished)
		return ok1 && ok2 && have == want
	case "integer", "real":
		have, err := parseNumber(v.value) // file modes are shown in octal
		want, ok := inUnit(wished, v.unit)
		if err != nil || !ok {
			return false
		}
		if v.kind == "integer" {
			have, want = math.RoundToEven(have), math.RoundToEven(want)
		}
		// -1 means "you decide" for some, and the server shows what it decided.
		return have == want || (want == -1 && v.source == "override") || closeEnough(have, want, v.kind)
	case "enum":
		return strings.EqualFold(v.value, wished) || sameBool(v.value, wished)
	}
	return v.value == wished
}

func closeEnough(a, b float64, kind string) bool {
	return kind == "real" && math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b))
}

// sameBool compares enums that also take words for yes and no, like synchronous_commit.
func sameBool(a, b string) bool {
	x, ok1 := parseBool(a)
	y, ok2 := parseBool(b)
	return ok1 && ok2 && x == y
}

// parseBool takes what PostgreSQL's parse_bool takes: any unambiguous prefix of its words.
func parseBool(s string) (value, ok bool) {
	s = strings.ToLower(s)
	switch s {
	case "":
		return false, false
	case "1", "on":
		return true, true
	case "0", "of", "off":
		return false, true
	}
	switch {
	case strings.HasPrefix("true", s), strings.HasPrefix("yes", s):
		return true, true
	case strings.HasPrefix("false", s), strings.HasPrefix("no", s):
		return false, true
	}
	return false, false
}

// The units of PostgreSQL's parameters, in bytes and in microseconds.
var (
	bytesOf  = map[string]float64{"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
	microsOf = map[string]float64{"us": 1, "ms": 1e3, "s": 1e6, "min": 60e6, "h": 3600e6, "d": 86400e6}

	quantity = regexp.MustCompile(`^([-+]?[0-9a-fA-FxX.]+(?:[eE][-+]?[0-9]+)??)\s*([A-Za-z]*)$`)
	decimal  = regexp.MustCompile(`^([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z]*)$`)
)

// inUnit reads a number with or without a unit as a count of the parameter's own unit, like "8kB".
func inUnit(text, unit string) (float64, bool) {
	m := decimal.FindStringSubmatch(text)
	if m == nil || strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X") {
		m = quantity.FindStringSubmatch(text)
	}
	if m == nil {
		return 0, false
	}
	n, err := parseNumber(m[1])
	if err != nil {
		return 0, false
	}
	if m[2] == "" {
		return n, true
	}
	for _, table := range []map[string]float64{bytesOf, microsOf} {
		from, ok := table[m[2]]
		if !ok {
			continue
		}
		to, ok := unitSize(unit, table)
		if !ok {
			return 0, false
		}
		return n * from / to, true
	}
	return 0, false
}

// unitSize reads a parameter's own unit, which may be a multiple: "8kB".
func unitSize(unit string, table map[string]float64) (float64, bool) {
	i := strings.IndexFunc(unit, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		return 0, false
	}
	size, ok := table[unit[i:]]
	if !ok {
		return 0, false
	}
	if i == 0 {
		return size, true
	}
	n, err := strconv.ParseFloat(unit[:i], 64)
	return n * size, err == nil
}

// parseNumber reads decimal, octal (a leading 0) and hexadecimal numbers.
func parseNumber(s string) (float64, error) {
	digits := strings.TrimLeft(s, "+-")
	if len(digits) > 1 && digits[0] == '0' && !strings.ContainsAny(digits, ".eE") || strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X") {
		n, err := strconv.ParseInt(s, 0, 64)
		return float64(n), err
	}
	return strconv.ParseFloat(s, 64)
}

// shown is how a value is written for a person: with its unit.
func (v setting) shown() string {
	if v.unit == "" || v.value == "-1" || v.value == "0" {
		return v.value
	}
	n, err := strconv.ParseFloat(v.value, 64)
	if err != nil {
		return v.value
	}
	for table, order := range map[*map[string]float64][]string{&bytesOf: {"TB", "GB", "MB", "kB", "B"}, &microsOf: {"d", "h", "min", "s", "ms", "us"}} {
		size, ok := unitSize(v.unit, *table)
		if !ok {
			continue
		}
		for _, u := range order {
			if q := n * size / (*table)[u]; q == math.Trunc(q) && math.Abs(q) >= 1 {
				return strconv.FormatFloat(q, 'f', -1, 64) + u
			}
		}
	}
	return v.value + v.unit
}
