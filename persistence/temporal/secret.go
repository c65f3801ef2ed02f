package temporal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	osexec "os/exec"
	"strings"
	"time"
)

// Secret says where a secret comes from: one of its fields. The settings never hold the secret itself.
type Secret struct {
	// File holds it, readable by its owner alone.
	File string `yaml:"file,omitempty"`
	// Env is the name of a variable of the environment.
	Env string `yaml:"env,omitempty"`
	// Command prints it: a program and its arguments, run without a shell whenever it is needed (tokens that expire).
	Command []string `yaml:"command,omitempty"`
}

// maxSecret is how much a command may print: the longest tokens in use have some thousand bytes.
const maxSecret = 64 << 10

// secretTimeout bounds a command that prints a secret.
const secretTimeout = 30 * time.Second

// String names the source, never the secret.
func (s *Secret) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "variable " + s.Env
	case len(s.Command) > 0:
		return "command " + s.Command[0]
	}
	return "nothing"
}

func (s *Secret) check(field string, wrong wrongFunc) {
	given := 0
	for _, is := range []bool{s.File != "", s.Env != "", len(s.Command) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		wrong(field, "want one of file, env and command")
	}
}

// Read returns the secret without the white space around it. Its errors quote nothing of it.
func (s *Secret) Read(ctx context.Context) (string, error) {
	text, err := s.read(ctx)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("secret from %s: it is empty", s)
	}
	return secret, nil
}

func (s *Secret) read(ctx context.Context) ([]byte, error) {
	switch {
	case s.File != "":
		info, err := os.Stat(s.File)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("secret: others may read %s: chmod 600 it", s.File)
		}
		text, err := os.ReadFile(s.File)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		return text, nil
	case s.Env != "":
		return []byte(os.Getenv(s.Env)), nil
	case len(s.Command) == 0:
		return nil, errors.New("secret: no source was given")
	}
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	cmd := osexec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.WaitDelay = time.Second
	out := bounded{left: maxSecret}
	cmd.Stdout = &out // stderr is not shown: the secret could be in it
	err := cmd.Run()
	if out.left < 0 {
		return nil, fmt.Errorf("secret from %s: it prints more than %d bytes: that is no secret", s, maxSecret)
	}
	if err != nil {
		var exit *osexec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(exit.ProcessState.String())
		}
		return nil, fmt.Errorf("secret from %s: %w", s, err)
	}
	return out.text.Bytes(), nil
}

// bounded keeps what is written while it is no more than is left; then it ends who writes. What was kept may be a part of it.
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

// checkURL wants a PostgreSQL URL without a password. Its errors quote nothing of it.
func checkURL(text string) error {
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return errors.New("want postgres://USER@HOST:PORT/DATABASE")
	}
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("it cannot be read: want postgres://USER@HOST:PORT/DATABASE, with each part percent-encoded")
	}
	if _, secret := u.User.Password(); secret || u.Query().Has("password") {
		return errors.New("a password does not belong into the settings: remove it, and say password: {file: PATH}, {env: NAME} or {command: [...]}")
	}
	return nil
}
