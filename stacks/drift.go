package stacks

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Drift says how a database is checked for drift: how often, what is done about it, and what is none. Every 0 means the server's own
// (Timing.DriftEvery), an empty Action DriftReport, so that databases from before there were checks are checked too.
type Drift struct {
	Every  Duration    `yaml:"every,omitempty" json:"every,omitzero"`
	Action DriftAction `yaml:"action,omitempty" json:"action,omitempty"`
	// Ignore lists patterns of keys (DriftItem.Key); * stands for anything.
	Ignore []string `yaml:"ignore,omitempty" json:"ignore,omitempty"`
}

// DriftAction is what a check on schedule does about what it finds.
type DriftAction string

// The actions on drift. DriftNone checks only when somebody asks.
const (
	DriftReport    DriftAction = "report"
	DriftRemediate DriftAction = "remediate"
	DriftNone      DriftAction = "none"
)

// Schedule is how often a database is checked on schedule, with the server's own where its spec says nothing; 0 is never.
func (d Drift) Schedule(server time.Duration) time.Duration {
	switch {
	case d.Action == DriftNone:
		return 0
	case d.Every > 0:
		return time.Duration(d.Every)
	}
	return max(server, 0)
}

// Limits of spec.drift. A check costs a plan of each region, so one a minute is the most; a pattern is as long as a long address.
const (
	minDriftEvery   = Duration(time.Minute)
	maxDriftEvery   = Duration(30 * 24 * time.Hour)
	maxDriftIgnored = 200
	maxDriftPattern = 1024
)

func (c *checker) drift() {
	d := c.db.Spec.Drift
	const at = "spec.drift"
	if c.l.has(at+".every") && (d.Every < minDriftEvery || d.Every > maxDriftEvery) {
		c.refuse("drift.every", at+".every", "write 1m to 720h, or action: none to check only when asked", "every is %s", d.Every)
	}
	actions := []string{string(DriftReport), string(DriftRemediate), string(DriftNone)}
	if d.Action != "" && !slices.Contains(actions, string(d.Action)) {
		c.refuse("drift.action", at+".action", c.didYouMean(string(d.Action), actions), "unknown action %q", brief(string(d.Action)))
	}
	if n := len(d.Ignore); n > maxDriftIgnored {
		c.refuse("drift.many", at+".ignore", "use patterns: * stands for anything", "there are %d patterns; at most %d are allowed", n, maxDriftIgnored)
		return
	}
	for i, p := range d.Ignore {
		if why := CheckDriftPattern(p); why != "" {
			c.refuse("drift.ignore", fmt.Sprintf("%s.ignore[%d]", at, i), `copy one that meridian drift show prints, like "ankara: module.database.localdb_postgres.this.settings.work_mem"`,
				"%s", why)
		}
	}
}

// CheckDriftPattern says why a pattern can name no drift, "" where it can: REGION, a colon, a blank and what differs there.
func CheckDriftPattern(p string) string {
	region, subject, ok := strings.Cut(p, ": ")
	switch {
	case len(p) > maxDriftPattern:
		return fmt.Sprintf("a pattern has at most %d characters", maxDriftPattern)
	case strings.ContainsFunc(p, notPrintable):
		return fmt.Sprintf("%q holds characters that cannot be printed", brief(p))
	case !ok || region == "" || strings.TrimSpace(subject) == "":
		return fmt.Sprintf("%q does not name a region and what differs there", brief(p))
	}
	return ""
}

// MatchDrift reports whether a pattern covers a key: they are the same, or alike where each * of the pattern may be anything.
func MatchDrift(pattern, key string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == key
	}
	rest, ok := strings.CutPrefix(key, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, last)
}
