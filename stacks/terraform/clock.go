package terraform

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is by what time is judged. A site's kernel has three, and which one counts is part of each rule: the wall's may jump, by a day and in both
// directions, so it only dates what people read and what nothing depends on; the awake one stands still while the machine sleeps, as
// terraform does; the boot clock goes on, as other sites do. The zero Clock is the kernel's own.
type Clock struct {
	// Read reads all three at once where they are not the kernel's: tests let them jump.
	Read func() Reading
}

// Reading is one look at a clock. Awake and Boot count from some moment of the boot.
type Reading struct {
	Wall        time.Time
	Awake, Boot time.Duration
}

// Wall is the time of day.
func (c Clock) Wall() time.Time {
	if c.Read != nil {
		return c.Read().Wall
	}
	return time.Now()
}

// started is some moment of this process; the monotonic clock that Go keeps beside it stands still while the machine sleeps.
var started = time.Now()

// Awake is a time that only grows, and not while the machine sleeps.
func (c Clock) Awake() time.Duration {
	if c.Read != nil {
		return c.Read().Awake
	}
	return time.Since(started)
}

// Boot is the time since the machine booted, time asleep included.
func (c Clock) Boot() (time.Duration, error) {
	if c.Read != nil {
		return c.Read().Boot, nil
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("boot clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// Past reports whether a moment that somebody wrote down by a wall clock is so long ago that something is to be done about it. One that lies
// ahead by more says that a clock was set back: nobody knows how long ago it was, so it is past too. Only ask where to act too early does
// no harm.
func (c Clock) Past(at time.Time, limit time.Duration) bool {
	age := c.Wall().Sub(at)
	return age >= limit || age < -limit
}
