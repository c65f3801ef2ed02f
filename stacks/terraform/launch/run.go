package launch

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"meridian/stacks/terraform"
)

// Call is where and with what a verb of the binary runs.
type Call struct {
	Binary terraform.Binary
	Dir    string
	// Env is the whole environment: terraform.Environment's.
	Env []string
}

// stopGrace is how long a verb that was told to stop has before it is killed: none of them changes infrastructure.
const stopGrace = 10 * time.Second

// run starts one verb, waits for it and returns its standard output. A cancelled context is SIGINT, then SIGKILL.
func (c Call) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Binary.Path, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.Dir, c.Env, stopGrace
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if said := brief(stderr.String()); said != "" {
			return nil, fmt.Errorf("%s %s: %w: %s", c.Binary.Product, args[0], err, said)
		}
		return nil, fmt.Errorf("%s %s: %w", c.Binary.Product, args[0], err)
	}
	return stdout.Bytes(), nil
}

// brief is what terraform said on standard error, without its frame and on one line.
func brief(stderr string) string {
	const limit = 2000
	text := strings.Join(strings.FieldsFunc(stderr, func(r rune) bool { return strings.ContainsRune(" \t\r\n│╷╵", r) }), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}
