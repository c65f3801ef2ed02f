package activities

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// process is a runner that this worker started. It outlives the worker.
type process struct {
	log     string
	done    chan struct{}
	err     error
	started time.Time
}

// spawn starts a runner for a step.
func (a *Activities) spawn(w work, step journal.Step) (*process, error) {
	var attempt [8]byte
	if _, err := rand.Read(attempt[:]); err != nil {
		return nil, fmt.Errorf("attempt ID: %w", err)
	}
	return a.start(w.run.ID+"-"+w.row.Region, terraform.VerbStep, "--step", step.ID, "--attempt", hex.EncodeToString(attempt[:]))
}

// start starts meridian-runner in a session of its own, with IDs in its arguments and nothing of ours open; its output goes to the log
// of that name.
func (a *Activities) start(name, verb string, args ...string) (*process, error) {
	if err := os.MkdirAll(a.Site.LogDir(), 0o700); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	p := &process{log: filepath.Join(a.Site.LogDir(), name+".log"), done: make(chan struct{}), started: time.Now()}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("runner log: %w", err)
	}
	defer out.Close()
	argv := slices.Concat(a.Scope, []string{a.Runner, verb, "--data", a.Site.Root}, args)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	// A runner mostly waits: on one core at a time its runtime wakes fewer threads. terraform gets none of this environment.
	cmd.Env = append(append(os.Environ(), "GOMAXPROCS=1"), a.RunnerEnv...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", a.Runner, err)
	}
	go func() { // reap it, if we live that long
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// complaintTail bounds how much of a runner's log is read for its last error.
const complaintTail = 64 << 10

// complaint is the last error in the runner's log.
func (p *process) complaint() string {
	const none = "it said nothing"
	f, err := os.Open(p.log)
	if err != nil {
		return none
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, err = f.Seek(max(0, size-complaintTail), io.SeekStart)
		if err != nil {
			return none
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, complaintTail))
	if err != nil {
		return none
	}
	lines := bytes.Split(text, []byte("\n"))
	for _, line := range slices.Backward(lines) {
		var said struct{ Level, Error string }
		if json.Unmarshal(line, &said) == nil && said.Level == slog.LevelError.String() && said.Error != "" {
			return said.Error
		}
	}
	return none
}

// exit is the runner's exit code, -1 where a signal ended it or it could not be waited for.
func (p *process) exit() int {
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return terraform.ExitDone
	case errors.As(p.err, &exit):
		return exit.ExitCode()
	}
	return -1
}
