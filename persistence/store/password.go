package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// passwordCommand is the parameter of a store's URL that holds a command, as a JSON list of a program and its arguments.
const passwordCommand = "meridian_password_command"

// commandTimeout bounds the command that prints a password.
const commandTimeout = 30 * time.Second

// maxPassword is how much of a password command's output is taken, in bytes: tokens of clouds have a few thousand.
const maxPassword = 64 << 10

// WithPasswordCommand is a URL whose password a command prints, anew for each connection: tokens expire.
func WithPasswordCommand(where string, command []string) (string, error) {
	u, err := url.Parse(where)
	if err != nil || len(command) == 0 {
		return "", errors.New("store: a password command wants a URL that begins with postgres://, and a program")
	}
	text, err := json.Marshal(command)
	if err != nil {
		return "", fmt.Errorf("store: password command: %w", err)
	}
	q := u.Query()
	q.Set(passwordCommand, string(text))
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// cutPasswordCommand takes the command out of a URL.
func cutPasswordCommand(where string) (rest string, command []string, err error) {
	u, err := url.Parse(where)
	if err != nil || !u.Query().Has(passwordCommand) {
		return where, nil, nil //nolint:nilerr // whoever reads the URL says what is wrong with it
	}
	q := u.Query()
	if err := json.Unmarshal([]byte(q.Get(passwordCommand)), &command); err != nil || len(command) == 0 {
		return "", nil, fmt.Errorf("store: %s is not a JSON list of a program and its arguments", passwordCommand)
	}
	q.Del(passwordCommand)
	u.RawQuery = q.Encode()
	return u.String(), command, nil
}

// passwordFrom runs the command for a connection. Neither what it wrote is shown: the password could be in it.
func passwordFrom(command []string) func(context.Context, *pgx.ConnConfig) error {
	return func(ctx context.Context, c *pgx.ConnConfig) error {
		if len(command) == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.WaitDelay = time.Second
		out := bounded{left: maxPassword}
		cmd.Stdout = &out
		err := cmd.Run()
		if out.left < 0 {
			return fmt.Errorf("the password from the command %s: it prints more than %d bytes; have it print the password and nothing else", command[0], maxPassword)
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(exit.ProcessState.String())
		}
		if err != nil {
			return fmt.Errorf("the password from the command %s: %w", command[0], err)
		}
		c.Password = strings.TrimSpace(out.text.String())
		return nil
	}
}

// bounded keeps what is written while it is no more than is left; then it ends who writes.
type bounded struct {
	text bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortWrite
	}
	return b.text.Write(p)
}
