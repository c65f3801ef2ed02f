package runner

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// shimLockFD is the descriptor of the stack's lock in the shim, in terraform and in its plugins.
const shimLockFD = 3

// shimAlone is the one variable of the shim's that is not for terraform: it only waits, and one core at a time will do.
const shimAlone = "GOMAXPROCS=1"

// runShim is terraform's parent: it starts the command in its working directory with its output appended to a file there, waits, and
// writes down how it ended. It is small and knows no store: nothing but terraform's end ends it. It gets the whole environment of
// terraform, and passes the stack's lock on. Where it is given a plugin, it starts that first and ends it last.
func runShim(spoolDir string, private launch.Plugin, command []string) int {
	// Signals are caught and dropped, not ignored: an ignored signal would be ignored by terraform too.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	s := spool{spoolDir}
	me, err := readStat(os.Getpid())
	if err == nil {
		err = s.put(shimFile, shimRecord{process: me.process, Session: me.Session}, false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		return 1
	}
	if err := s.put(exitFile, superviseCommand(s, private, command), true); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		return 1
	}
	return 0
}

// superviseCommand runs the command to its end.
func superviseCommand(s spool, private launch.Plugin, command []string) exitRecord {
	failed := func(err error) exitRecord {
		return exitRecord{Code: -1, Error: err.Error(), At: time.Now().UTC()}
	}
	out, err := os.OpenFile(terraform.OutputFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return failed(err)
	}
	stackLock := os.NewFile(shimLockFD, "stack lock")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{stackLock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return v == shimAlone })
	if private.File != "" {
		if plugin := shimPlugin(private, cmd.Env, stackLock); plugin != nil {
			cmd.Env = append(cmd.Env, plugin.variable())
			defer func() {
				if plugin.died() {
					_, _ = out.Write(dyingWords(terraform.ShimLogFile))
				}
				plugin.end()
			}()
		}
	}
	if _, act := leaseNow(terraform.Clock{}, s); act != leaseRuns {
		return failed(errors.New(errLeaseOver))
	}
	if err := cmd.Start(); err != nil {
		return failed(err)
	}
	if err := exposeToOOM(cmd.Process.Pid); err != nil {
		fmt.Fprintln(os.Stderr, "shim: oom_score_adj:", err)
	}
	if child, err := readStat(cmd.Process.Pid); err == nil {
		if err := s.put(terraformFile, child.process, false); err != nil {
			fmt.Fprintln(os.Stderr, "shim:", err)
		}
	}
	guard := guardLease(terraform.Clock{}, s, cmd.Process)
	err = cmd.Wait()
	guard.end()
	exit := exitRecord{Code: cmd.ProcessState.ExitCode(), At: time.Now().UTC()}
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		exit.Error = err.Error()
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		exit.Signal = ws.Signal().String()
	}
	if err := out.Sync(); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
	}
	return exit
}

// shimPlugin starts the plugin, which writes its own log into the shim's. Where it does not start, terraform starts its plugins itself,
// and says what is wrong with them.
func shimPlugin(private launch.Plugin, env []string, stackLock *os.File) *plugin {
	cmd := exec.Command(private.File)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{stackLock}
	p, err := startPlugin(cmd, private.Source, env, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
	}
	return p
}
