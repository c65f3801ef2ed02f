package main

import (
	"strings"
	"testing"
)

func TestMemoryFinding(t *testing.T) {
	needs := []need{{"cassandra", 544}, {"postgres", 192}}
	for name, test := range map[string]struct {
		meminfo string
		needs   []need
		state   string
		says    []string
		next    string
	}{
		"room for all":     {"MemTotal: 8388608 kB\nMemAvailable:    4194304 kB\n", needs, "ok", []string{"4.0 GiB available", "544 MiB of cassandra", "192 MiB of postgres"}, ""},
		"none for a node":  {"MemAvailable: 307200 kB\n", needs, "warn", []string{"0.3 GiB"}, "database of cassandra:"},
		"none at all":      {"MemAvailable: 1024 kB\n", needs, "warn", nil, "cassandra, postgres:"},
		"no engine here":   {"MemAvailable: 1024 kB\n", nil, "ok", []string{"0.0 GiB available"}, ""},
		"it does not say":  {"MemTotal: 1 kB\n", needs, "ok", []string{"does not say"}, ""},
		"it says nonsense": {"MemAvailable: much kB\n", needs, "ok", []string{"does not say"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := memoryFinding(availableMemory(test.meminfo), test.needs)
			if f.Check != "memory" || f.State != test.state || !strings.Contains(f.Next, test.next) || (test.next == "") != (f.Next == "") {
				t.Errorf("it says %+v, want %s and %q", f, test.state, test.next)
			}
			for _, word := range test.says {
				if !strings.Contains(f.What, word) {
					t.Errorf("%q does not say %q", f.What, word)
				}
			}
		})
	}
}
