package activities

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestPruneLogs(t *testing.T) {
	type file struct {
		age  time.Duration
		size int64
	}
	tests := map[string]struct {
		files map[string]file
		left  []string
	}{
		"no directory": {},
		"young ones":   {map[string]file{"a.log": {time.Minute, 10}, "b.log": {13 * 24 * time.Hour, 10}}, []string{"a.log", "b.log"}},
		"an old one":   {map[string]file{"a.log": {time.Minute, 10}, "b.log": {15 * 24 * time.Hour, 10}}, []string{"a.log"}},
		"too much": {map[string]file{"a.log": {time.Minute, maxLogs / 2}, "b.log": {time.Hour, maxLogs / 2}, "c.log": {2 * time.Hour, 1}},
			[]string{"a.log", "b.log"}},
		"not ours": {map[string]file{"notes.txt": {15 * 24 * time.Hour, 10}}, []string{"notes.txt"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			dir := h.Site.LogDir()
			for name, f := range tc.files {
				h.must(os.MkdirAll(dir, 0o700))
				path, at := filepath.Join(dir, name), time.Now().Add(-f.age)
				h.must(os.WriteFile(path, nil, 0o600))
				h.must(os.Truncate(path, f.size)) // a hole: it takes no space
				h.must(os.Chtimes(path, at, at))
			}
			h.must(h.PruneLogs())
			var left []string
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				left = append(left, e.Name())
			}
			if !slices.Equal(left, tc.left) {
				t.Errorf("left %v, want %v", left, tc.left)
			}
		})
	}
}
