package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// Parameters lists the parameters that these programs know, sorted; those for developers of PostgreSQL are not among them.
func (b Binaries) Parameters(ctx context.Context) ([]string, error) {
	out, err := b.postgres(ctx, "--describe-config")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) {
		name, _, ok := strings.Cut(line, "\t")
		if ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// CheckSettings asks the programs whether they take these values; the first that they do not is the error, in PostgreSQL's own words.
func (b Binaries) CheckSettings(ctx context.Context, settings map[string]string) error {
	if len(settings) == 0 {
		return nil
	}
	// `postgres -C` reads the configuration, prints one value and ends. It wants a directory with a configuration file: an empty one.
	dir, err := os.MkdirTemp("", "meridian-settings-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // a leftover is two empty files in the temporary directory
	for _, name := range []string{"postgresql.conf", "postgresql.auto.conf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			return err
		}
	}
	args := []string{"-C", "server_version", "-D", dir} // -C first: only so it runs as root
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	_, err = b.postgres(ctx, args...)
	return err
}

// fatalLine finds what postgres refuses in what it logs: after the time and process number that no setting of ours changes.
var fatalLine = regexp.MustCompile(`(?m)^.*?\b(?:FATAL|ERROR):\s+(.*)$`)

var hintLine = regexp.MustCompile(`(?m)^.*?\bHINT:\s+(.*)$`)

// askTries is how often the server program is asked where somebody kills it: that says nothing of what it was asked.
const askTries = 3

// postgres runs the server program for what it says. As root it only does so for questions like these.
func (b Binaries) postgres(ctx context.Context, args ...string) (out string, err error) {
	for range askTries {
		if out, err = b.ask(ctx, args...); !killed(err) {
			break
		}
	}
	return out, err
}

// killed reports whether an error is that a program was ended by a signal.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

func (b Binaries) ask(ctx context.Context, args ...string) (string, error) {
	a := machine.Account{}
	cmd := a.Command(b.Dir, b.Path("postgres"), args...)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Start(); err != nil {
		return "", err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err == nil {
			return out.String(), nil
		}
		m := fatalLine.FindStringSubmatch(words.String())
		if m == nil {
			return "", fmt.Errorf("%s: %w: %s", cmd.Path, err, machine.LastLines(words.String(), 3))
		}
		if h := hintLine.FindStringSubmatch(words.String()); h != nil {
			return "", fmt.Errorf("%s (%s): %w", m[1], h[1], providers.ErrPermanent)
		}
		return "", fmt.Errorf("%s: %w", m[1], providers.ErrPermanent)
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), cmd.Process.Kill(), ignoreExit(<-done))
	}
}
