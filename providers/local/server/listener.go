package server

import (
	"context"
	"fmt"

	"meridian/providers/local/machine"
)

// Vacant makes sure that a new server could listen at the spec's address. What servers of ours hold there is not in its way yet: it may be
// the one that is replaced, or what still runs of one whose directory was removed.
func Vacant(ctx context.Context, s Spec) error {
	taken, err := machine.Occupied(ctx, s.Address, s.Port)
	if err != nil || !taken || len(residents(s.dataDir())) > 0 {
		return err
	}
	if _, err := HomeAt(s.Address, s.Port); err == nil {
		return nil
	}
	return s.taken()
}

// whoListens names what listens there, for a person: "process 4711 (nginx)". Arguments are left out: they may hold secrets.
func whoListens(address string, port int) string {
	if m, pid, ok := serverAt(address, port); ok {
		return fmt.Sprintf("process %d (postgres), the server of %s", pid, m.Owner)
	}
	pid := machine.ListenerPid(address, port)
	if pid == 0 {
		return "a process that this user may not see"
	}
	if p := machine.ProgramOf(pid); p != "" {
		return fmt.Sprintf("process %d (%s)", pid, p)
	}
	return fmt.Sprintf("process %d", pid)
}
