package providers

import "context"

// Preflighter looks, before a region is planned, whether the place can be worked on at all: that the credentials are there, hold, and are
// of the account that the spec names. An error that wraps ErrPermanent fails the region before terraform is started.
type Preflighter interface {
	Preflight(ctx context.Context, in ModuleInput) error
}

// ApplyProgress says in one sentence for people what the cloud says of a region while terraform works on it; "" where there is nothing to
// say yet. It is only an addition: an error disturbs nothing.
type ApplyProgress interface {
	ApplyProgress(ctx context.Context, in ModuleInput) (string, error)
}
