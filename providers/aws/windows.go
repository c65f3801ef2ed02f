package aws

import (
	"slices"
	"strings"
	"time"
)

const (
	minutesOfDay  = 24 * 60
	minutesOfWeek = 7 * minutesOfDay
	// shortestWindow is how long a window has to be, in minutes. Source: Amazon RDS API Reference, CreateDBInstance, PreferredBackupWindow and
	// PreferredMaintenanceWindow; that the two must not overlap stands there too.
	shortestWindow = 30
)

// weekdays are AWS's words, in the order of a week.
var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// span is a part of a week, in minutes from its beginning; it may go over its end.
type span struct{ from, length int }

// overlaps reports whether two parts of a week have a minute in common.
func (a span) overlaps(b span) bool {
	after := func(from, to int) int { return (to - from + minutesOfWeek) % minutesOfWeek }
	return after(a.from, b.from) < a.length || after(b.from, a.from) < b.length
}

// windows refuses windows that are too short, or that overlap. Their shapes were checked before.
func (c *checker) windows(backup, maintenance string) {
	day, ok := daily(backup)
	week, ok2 := weekly(maintenance)
	if !ok || !ok2 {
		return // another rule says so
	}
	for _, w := range []struct {
		field string
		span
	}{{"backup.window", day}, {"maintenance.window", week}} {
		if w.length < shortestWindow {
			c.refuse("aws.settings", c.at+".settings."+w.field, "give AWS half an hour or more", "%s has %d minutes", w.field, w.length)
			return
		}
	}
	if backups := everyDay(day); slices.ContainsFunc(backups, week.overlaps) {
		c.refuse("aws.settings", c.at+".settings.maintenance.window", "move one of them: AWS does not take backups while it works on the database",
			"maintenance at %s overlaps the backups at %s", maintenance, backup)
	}
}

// everyDay is a part of a day on each day of a week.
func everyDay(day span) (out []span) {
	for n := range weekdays {
		out = append(out, span{from: day.from + n*minutesOfDay, length: day.length})
	}
	return out
}

// daily reads a window of each day, like "02:00-03:00", as the first day's.
func daily(window string) (span, bool) {
	from, to, _ := strings.Cut(window, "-")
	begin, ok := minutes(from)
	end, ok2 := minutes(to)
	return span{begin, (end - begin + minutesOfDay) % minutesOfDay}, ok && ok2
}

// weekly reads a window of each week, like "sun:04:00-sun:05:00".
func weekly(window string) (span, bool) {
	from, to, _ := strings.Cut(window, "-")
	begin, ok := minutesOf(from)
	end, ok2 := minutesOf(to)
	return span{begin, (end - begin + minutesOfWeek) % minutesOfWeek}, ok && ok2
}

func minutesOf(text string) (int, bool) {
	day, clock, _ := strings.Cut(text, ":")
	n := slices.Index(weekdays, day)
	m, ok := minutes(clock)
	return n*minutesOfDay + m, ok && n >= 0
}

func minutes(clock string) (int, bool) {
	at, err := time.Parse("15:04", clock)
	return at.Hour()*60 + at.Minute(), err == nil
}
