package providers

import "errors"

// Kinds of errors that callers act upon. Wrap one of them with %w; everything else is transient and retried.
var (
	// ErrPermanent will not heal by itself: a person must change something. The message says what.
	ErrPermanent = errors.New("permanent")
	// ErrSuperseded means that a newer run has already worked here.
	ErrSuperseded = errors.New("a newer run has already worked here")
	// ErrForeign means that something of our name or address exists and is not ours.
	ErrForeign = errors.New("not ours")
	// ErrLeftBehind means that something could not be removed because its side does not answer.
	ErrLeftBehind = errors.New("left behind")
	// ErrDenied means that the server answers and does not let us in: the password or the right to log in is another.
	ErrDenied = errors.New("not let in")
)
