package postgres

import (
	"errors"

	"meridian/providers"
)

func isPermanent(err error) bool { return errors.Is(err, providers.ErrPermanent) }
