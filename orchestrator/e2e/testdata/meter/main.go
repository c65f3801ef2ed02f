// Command meter stands in for another program in benchmarks, under that program's name: beside it lie `real`, a link to the directory of
// the real program, and `ledger`, a file that it appends one JSON line to.
//
// Of terraform, and of a postgres that stays, it writes down the launch and becomes it (exec: the same process, nothing in between). Any
// other program it runs to its end, and writes down the CPU time that the program, its children and the meter itself took.
//
// Where no `real` lies beside it, it burns as much CPU time as its first argument says; with a second argument it then waits until
// its standard input ends.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// line is a line of the ledger. CPU is 0 for a launch.
type line struct {
	Program string        `json:"program"`
	Args    []string      `json:"args"`
	Dir     string        `json:"dir"`
	At      time.Time     `json:"at"`
	CPU     time.Duration `json:"cpu"`
}

func main() {
	code, err := meter(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "meter:", err)
		code = 1
	}
	os.Exit(code)
}

func meter(args []string) (int, error) {
	l := line{Args: args, At: time.Now()}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	here, program := filepath.Split(self)
	realDir, err := filepath.EvalSymlinks(filepath.Join(here, "real"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, burn(args)
	}
	if err != nil {
		return 0, err
	}
	target := filepath.Join(realDir, program)
	l.Program = program
	if l.Dir, err = os.Getwd(); err != nil {
		return 0, err
	}
	if program == "terraform" || program == "postgres" && len(args) > 0 && args[0] == "-D" {
		if err := l.write(here); err != nil {
			return 0, err
		}
		return 0, syscall.Exec(target, append([]string{target}, args...), os.Environ())
	}
	cmd := exec.Command(target, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return 0, err
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		took, err := used(who)
		if err != nil {
			return 0, err
		}
		l.CPU += took
	}
	return cmd.ProcessState.ExitCode(), l.write(here)
}

func used(who int) (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// write appends the line at once: several meters write into one ledger. The file is there before, as a program of PostgreSQL runs as
// another user.
func (l line) write(dir string) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}

func burn(args []string) error {
	if len(args) == 0 {
		return errors.New("want how long to burn")
	}
	want, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	for {
		took, err := used(syscall.RUSAGE_SELF)
		if err != nil {
			return err
		}
		if took >= want {
			break
		}
	}
	if len(args) > 1 {
		fmt.Println("burnt")
		_, err = io.Copy(io.Discard, os.Stdin)
	}
	return err
}
