package e2e

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	benchRounds  = flag.Int("rounds", 5, "benchmarks: how often the sides of a comparison take turns, and how often a start is measured")
	benchSamples = flag.Int("samples", 120, "benchmarks: how many submissions are timed")
	benchIdle    = flag.Duration("idle", 30*time.Second, "benchmarks: how long a server is left alone before its memory is read")
)

// quantile is the value below which the share q of the values lies; 0.5 is the median. Of few values it is the nearest one.
func quantile[T int | int64 | float64 | time.Duration](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// table prints the figures of one benchmark, and hands them on as metrics.
type table struct {
	b    *testing.B
	name string
	rows [][]string
}

// row adds a figure, its goal ("" where there is none), and the values that its median was taken from.
func (t *table) row(figure, value, goal string, of ...string) {
	t.rows = append(t.rows, []string{figure, value, goal, strings.Join(of, " ")})
}

// seconds adds the median of durations, and reports it under a unit.
func (t *table) seconds(figure, goal, unit string, values []time.Duration) time.Duration {
	median := quantile(values, 0.5)
	t.row(figure, fmt.Sprintf("%.2f s", median.Seconds()), goal, texts("%.2f", inSeconds(values))...)
	if unit != "" {
		t.b.ReportMetric(median.Seconds(), unit)
	}
	return median
}

// ratio adds the median of the ratios of two sides that took turns.
func (t *table) ratio(figure, goal, unit string, ours, theirs []time.Duration) {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i].Seconds() / theirs[i].Seconds()
	}
	median := quantile(ratios, 0.5)
	t.row(figure, fmt.Sprintf("%.2f x", median), goal, texts("%.2f", ratios)...)
	t.b.ReportMetric(median, unit)
}

func inSeconds(values []time.Duration) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v.Seconds()
	}
	return out
}

func texts[T any](format string, values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprintf(format, v)
	}
	return out
}

// print writes the table to standard output, as Markdown.
func (t *table) print() {
	t.b.ReportMetric(0, "ns/op") // one iteration is a whole story: its length says nothing
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "\n%s\n\n| figure\t| median\t| goal\t| each\t|\n| ---\t| ---\t| ---\t| ---\t|\n", t.name)
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s\t|\n", strings.Join(r, "\t| "))
	}
	fmt.Fprintln(w)
	_ = w.Flush()
}

func TestQuantile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[len(hundred)-1-i] = i + 1
	}
	for name, c := range map[string]struct {
		values []int
		q      float64
		want   int
	}{
		"nothing":                  {nil, 0.5, 0},
		"one":                      {[]int{7}, 0.99, 7},
		"the middle of three":      {[]int{9, 1, 5}, 0.5, 5},
		"the middle of a hundred":  {hundred, 0.5, 51},
		"the end of a hundred":     {hundred, 0.99, 100},
		"not beyond the last":      {[]int{1, 2}, 1, 2},
		"the first of five values": {[]int{5, 4, 3, 2, 1}, 0, 1},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("%s: quantile %v = %d, want %d", name, c.q, got, c.want)
		}
	}
}
