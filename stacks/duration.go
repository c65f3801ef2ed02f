package stacks

import (
	"fmt"
	"time"
)

// Duration is a time.Duration written with its unit ("5s", "1h30m") in YAML and JSON.
type Duration time.Duration

// String writes the duration as Go does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration with its unit.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration with its unit; a bare number is refused.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: want a number with a unit, like 5s or 1h30m", text)
	}
	*d = Duration(v)
	return nil
}
