package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"meridian/providers"
)

// SQLSTATE codes that decide something here; https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	codeInvalidAuthorization = "28000"
	codeInvalidPassword      = "28P01"
	codeNoDatabase           = "3D000"
	codeNoPrivilege          = "42501"
	codeNoObject             = "42704"
	codeNoTable              = "42P01"
	codeNoSchema             = "3F000"
	codeObjectInUse          = "55006"
	codeSessionEnded         = "57P01"
	codeLockNotAvailable     = "55P03"
	codeNoFile               = "58P01"
	codeNotSupported         = "0A000"
)

// permanent makes an error that wraps providers.ErrPermanent.
func permanent(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), providers.ErrPermanent)
}

// sqlState returns the code of a server's error, or "".
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// unreachable reports whether err means that the server cannot be talked to, rather than that it answered with a refusal.
func unreachable(err error) bool {
	code := sqlState(err)
	if code == "" {
		var netErr net.Error
		_, connecting := errors.AsType[*pgconn.ConnectError](err)
		return connecting || errors.As(err, &netErr) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || pgconn.Timeout(err)
	}
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") || code == codeInvalidPassword || code == codeInvalidAuthorization
}

// settle gives an error its last form: a refusal that will not heal by itself is permanent, and no secret is in the text.
func settle(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, providers.ErrPermanent) {
		switch sqlState(err) {
		case codeInvalidPassword, codeInvalidAuthorization:
			err = fmt.Errorf("%w: %w: %w", err, providers.ErrDenied, providers.ErrPermanent)
		case codeNoPrivilege, codeNotSupported:
			err = fmt.Errorf("%w: %w", err, providers.ErrPermanent)
		}
	}
	text := err.Error()
	clean := text
	for _, s := range secrets {
		if s != "" {
			clean = strings.ReplaceAll(clean, s, "****")
		}
	}
	if clean == text {
		return err
	}
	// The chain below still holds the secret, so only the kinds are kept.
	kinds := []error{}
	for _, k := range []error{providers.ErrPermanent, providers.ErrSuperseded, providers.ErrForeign, providers.ErrLeftBehind, providers.ErrDenied} {
		if errors.Is(err, k) {
			kinds = append(kinds, k)
		}
	}
	return &maskedError{text: clean, kinds: kinds}
}

type maskedError struct {
	text  string
	kinds []error
}

func (e *maskedError) Error() string   { return e.text }
func (e *maskedError) Unwrap() []error { return e.kinds }

// LeftBehindError says what a removal could not reach. It wraps providers.ErrLeftBehind.
type LeftBehindError struct {
	Sides []LeftSide
}

// LeftSide is one region that does not answer, and what of ours is or may be there.
type LeftSide struct {
	Region string
	Names  []string
	Err    error
}

// Error names each region, what is left there and why.
func (e *LeftBehindError) Error() string {
	parts := make([]string, 0, len(e.Sides))
	for _, s := range e.Sides {
		parts = append(parts, fmt.Sprintf("region %s does not answer, there may be left: %s (%v)", s.Region, strings.Join(s.Names, ", "), s.Err))
	}
	return strings.Join(parts, "; ")
}

// Unwrap makes errors.Is find providers.ErrLeftBehind.
func (e *LeftBehindError) Unwrap() error { return providers.ErrLeftBehind }

// LeftIn reports whether something may be left in that region. A caller that is about to destroy the region may ignore it.
func (e *LeftBehindError) LeftIn(region string) bool {
	return slices.ContainsFunc(e.Sides, func(s LeftSide) bool { return s.Region == region })
}
