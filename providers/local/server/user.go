package server

import (
	"errors"
	"fmt"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// checkReach makes sure that the account can run the programs from within dir, by doing it; the mode bits only name the culprit.
func checkReach(a machine.Account, b Binaries, dir string) error {
	if !a.Switches {
		return nil
	}
	cmd := a.Command(b.Dir, b.Path("postgres"), "--version")
	cmd.Dir = dir
	err := cmd.Run()
	if err == nil {
		return nil
	}
	for _, path := range []string{dir, b.Path("postgres")} {
		if closed := a.ClosedAncestor(path); closed != "" {
			return fmt.Errorf("user %s, as whom PostgreSQL runs here, cannot pass %s on the way to %s: `chmod o+x %s`, or use another directory: %w",
				a.Name, closed, path, closed, providers.ErrPermanent)
		}
	}
	return fmt.Errorf("user %s, as whom PostgreSQL runs here, cannot run %s in %s: %w", a.Name, b.Path("postgres"), dir, errors.Join(err, providers.ErrPermanent))
}
