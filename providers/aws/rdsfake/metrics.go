package rdsfake

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Metric is one measurement of CloudWatch in namespace AWS/RDS.
type Metric struct {
	Region, Name string
	// Dimensions are all of them: an exact question names each.
	Dimensions map[string]string
	Value      float64
	Age        time.Duration
}

// PutMetric adds a measurement.
func (f *Fake) PutMetric(m Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.metrics = append(f.metrics, m)
}

// dimensionsOf reads those of a question.
func dimensionsOf(form url.Values) map[string]string {
	out := map[string]string{}
	for n := 1; ; n++ {
		name := form.Get(fmt.Sprintf("Dimensions.member.%d.Name", n))
		if name == "" {
			return out
		}
		out[name] = form.Get(fmt.Sprintf("Dimensions.member.%d.Value", n))
	}
}

// listMetrics lists those that have at least the dimensions that are asked for.
func (f *Fake) listMetrics(c call) (string, *refusal) {
	asked := dimensionsOf(c.form)
	var found []string
	for _, m := range f.metrics {
		has := m.Region == c.region && m.Name == c.form.Get("MetricName") && c.form.Get("Namespace") == "AWS/RDS"
		for name, value := range asked {
			has = has && m.Dimensions[name] == value
		}
		if has {
			found = append(found, el("member", text("MetricName", m.Name), tagList("Dimensions", "member", "Name", "Value", m.Dimensions)))
		}
	}
	return result(c, el("Metrics", slices.Compact(found)...)), nil
}

// statistics answers with the measurements between two times whose dimensions are exactly those that are asked for.
func (f *Fake) statistics(c call) (string, *refusal) {
	asked := dimensionsOf(c.form)
	from, err1 := time.Parse(time.RFC3339, c.form.Get("StartTime"))
	to, err2 := time.Parse(time.RFC3339, c.form.Get("EndTime"))
	if err := cmp.Or(err1, err2); err != nil || c.form.Get("Statistics.member.1") != "Maximum" {
		return "", no("InvalidParameterValue", "StartTime, EndTime and Statistics are required")
	}
	var found []string
	for _, m := range f.metrics {
		at := time.Now().Add(-m.Age)
		has := m.Region == c.region && m.Name == c.form.Get("MetricName") && len(m.Dimensions) == len(asked) && !at.Before(from) && !at.After(to.Add(time.Minute))
		for name, value := range asked {
			has = has && m.Dimensions[name] == value
		}
		if has {
			found = append(found, el("member", text("Timestamp", at.UTC().Format(time.RFC3339)), text("Maximum", strconv.FormatFloat(m.Value, 'f', -1, 64))))
		}
	}
	return result(c, el("Datapoints", found...)), nil
}
