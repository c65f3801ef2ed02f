package mysql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"meridian/providers"
)

// Error numbers that decide something here. Source: MySQL Server Error Message Reference; MariaDB Error Code Reference.
const (
	codeDenied          = 1045
	codeDeniedDatabase  = 1044
	codeDeniedPlugin    = 1698
	codeDeniedTable     = 1142
	codeDeniedSpecific  = 1227
	codeDeniedProcedure = 1370
	codeNoDatabase      = 1049
	codeNoThread        = 1094
	codeNoThreadOfYours = 1095
	codeNoTable         = 1146
	codeNoVariable      = 1193
	codeNoProcedure     = 1305
	codeNotSupported    = 1235
	codeLocked          = 3118
	codeLockedMaria     = 4151
	codeExpired         = 1862
	codeMustReset       = 1820
	codeInsecure        = 3159
)

// permanent makes an error that wraps providers.ErrPermanent.
func permanent(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), providers.ErrPermanent)
}

// code returns the number of a server's error, or 0.
func code(err error) uint16 {
	if my, ok := errors.AsType[*driver.MySQLError](err); ok {
		return my.Number
	}
	return 0
}

func isCode(err error, codes ...uint16) bool { return err != nil && slices.Contains(codes, code(err)) }

// denied reports whether a server answered, and did not let the user in.
func denied(err error) bool {
	return isCode(err, codeDenied, codeDeniedPlugin, codeLocked, codeLockedMaria, codeExpired, codeMustReset)
}

// noRight reports whether the user was let in and may not do this.
func noRight(err error) bool {
	return isCode(err, codeDeniedDatabase, codeDeniedTable, codeDeniedSpecific, codeDeniedProcedure)
}

// settle gives an error its last form: a refusal that will not heal by itself is permanent, and no secret is in the text.
func settle(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, providers.ErrPermanent) {
		switch {
		case denied(err):
			err = fmt.Errorf("%w: %w: %w", err, providers.ErrDenied, providers.ErrPermanent)
		case noRight(err), isCode(err, codeNotSupported, codeInsecure):
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
	var kinds []error
	for _, k := range []error{providers.ErrPermanent, providers.ErrSuperseded, providers.ErrForeign, providers.ErrDenied} {
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
