package activities

import (
	"context"
	"os"
	"os/exec"
	"strings"
)

// EnvScopes is "off" where runners shall stay in the control group of who started them.
const EnvScopes = "MERIDIAN_SCOPES"

// The units of examples/systemd that the scopes of runners belong to: a slice for their memory, and the service whose stop waits for them
// at a shutdown, so before the scopes are stopped.
const (
	scopeSlice = "meridian-runners.slice"
	scopeDrain = "meridian-runners.service"
)

// FindScope returns what a runner is started with so that it gets a systemd scope of its own: it is then no part of the server's control
// group, whose stop and whose memory are not its. It is empty where the server was not started by systemd, or may make no scopes.
func FindScope(ctx context.Context, getenv func(string) string) []string {
	if getenv("INVOCATION_ID") == "" || getenv(EnvScopes) == "off" {
		return nil
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil
	}
	program, err := exec.LookPath("systemd-run")
	if err != nil {
		return nil
	}
	return firstThatRuns(ctx, scopeArguments(program, os.Geteuid()))
}

// scopeArguments are the ways to make a scope, best first: systemd before 253 knows no OOM policy of scopes.
func scopeArguments(program string, uid int) [][]string {
	plain := []string{program, "--scope", "--quiet", "--collect", "--slice=" + scopeSlice, "--property=Before=" + scopeDrain}
	if uid != 0 {
		plain = append(plain, "--user")
	}
	careful := append(append([]string(nil), plain...), "--property=OOMPolicy=continue", "--")
	return [][]string{careful, append(plain, "--")}
}

// firstThatRuns returns the first of some prefixes with which a program can be run.
func firstThatRuns(ctx context.Context, prefixes [][]string) []string {
	for _, p := range prefixes {
		argv := append(append([]string(nil), p...), "/bin/echo", "scope")
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output(); err == nil && strings.TrimSpace(string(out)) == "scope" {
			return p
		}
	}
	return nil
}
