package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"meridian/providers"
)

// dumper is PostgreSQL's own pair of schema tools.
type dumper struct {
	pgDump, pgRestore string
}

func (e *Engine) dumper(version int) (dumper, error) {
	path, err := e.pgDump(version)
	if err != nil {
		return dumper{}, permanent("copying a schema to PostgreSQL %d needs its pg_dump on this machine: %v", version, err)
	}
	restore := filepath.Join(filepath.Dir(path), "pg_restore")
	if _, err := os.Stat(restore); err != nil {
		return dumper{}, permanent("pg_restore is missing beside %s: %v", path, err)
	}
	return dumper{pgDump: path, pgRestore: restore}, nil
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// findPgDump looks where Debian and Red Hat install each major, then in PATH.
func findPgDump(version int) (string, error) {
	v := strconv.Itoa(version)
	for _, path := range []string{"/usr/lib/postgresql/" + v + "/bin/pg_dump", "/usr/pgsql-" + v + "/bin/pg_dump"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("pg_dump")
	if err == nil {
		out, _ := exec.Command(path, "--version").Output()
		if m := versionLine.FindSubmatch(out); m != nil && string(m[1]) == v {
			return path, nil
		}
	}
	return "", fmt.Errorf("no pg_dump %s in the usual places or PATH: install postgresql-client-%s", v, v)
}

// difference returns the SQL that makes what the source's schema has and the target's has not, in the order of their
// dependencies, or "". Owners and grants are kept. Entries are compared by kind and name only.
func (d dumper) difference(ctx context.Context, database string, in providers.LinkInput) (string, error) {
	source, err := d.archive(ctx, in.From, database, in.RunNumber)
	if err != nil {
		return "", err
	}
	target, err := d.archive(ctx, in.To, database, in.RunNumber)
	if err != nil {
		return "", err
	}
	want, err := d.contents(ctx, source)
	if err != nil {
		return "", err
	}
	have, err := d.contents(ctx, target)
	if err != nil {
		return "", err
	}
	there := map[string]bool{}
	for _, line := range have {
		there[entryKey(line)] = true
	}
	var list strings.Builder
	for _, line := range want {
		if !there[entryKey(line)] {
			list.WriteString(line + "\n")
		}
	}
	if list.Len() == 0 {
		return "", nil
	}
	return d.script(ctx, source, list.String())
}

// archive dumps a schema. The password goes through the environment, which only this user and root can read.
func (d dumper) archive(ctx context.Context, t providers.Target, database string, run int64) ([]byte, error) {
	cmd := exec.CommandContext(ctx, d.pgDump, "--schema-only", "--format=custom", "--no-publications", "--no-subscriptions", "--no-tablespaces",
		"--no-password", "--lock-wait-timeout=5s", "--exclude-schema="+heartbeatSchema)
	cmd.Env = []string{
		"PGHOST=" + t.Endpoint.Host, "PGPORT=" + strconv.Itoa(t.Endpoint.Port), "PGUSER=" + t.Endpoint.User, "PGPASSWORD=" + t.Password,
		"PGDATABASE=" + database, "PGAPPNAME=" + appPrefix + strconv.FormatInt(run, 10), "PGCONNECT_TIMEOUT=5", "PGPASSFILE=/dev/null",
	}
	if t.Endpoint.TLSMode != "" {
		cmd.Env = append(cmd.Env, "PGSSLMODE="+t.Endpoint.TLSMode)
	}
	if t.Endpoint.CAFile != "" {
		cmd.Env = append(cmd.Env, "PGSSLROOTCERT="+t.Endpoint.CAFile)
	}
	out, err := output(ctx, cmd)
	return out, wrapIf(err, "schema of database "+database+" in "+t.Region)
}

// contents lists an archive's entries, one per line: "ID; CLASS OID KIND SCHEMA NAME OWNER".
func (d dumper) contents(ctx context.Context, archive []byte) ([]string, error) {
	cmd := exec.CommandContext(ctx, d.pgRestore, "--list")
	cmd.Stdin = bytes.NewReader(archive)
	out, err := output(ctx, cmd)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimRight(line, "\n"); line != "" && line[0] != ';' {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// entryKey leaves out what differs between two servers with the same schema: the IDs before the kind, and the owner at the end.
func entryKey(line string) string {
	if _, rest, ok := strings.Cut(line, "; "); ok {
		line = rest
	}
	for range 2 {
		if _, rest, ok := strings.Cut(line, " "); ok {
			line = rest
		}
	}
	if i := strings.LastIndexByte(line, ' '); i >= 0 {
		line = line[:i]
	}
	return line
}

// script turns the listed entries of an archive into SQL. The list goes through a pipe: a schema's names need no file.
func (d dumper) script(ctx context.Context, archive []byte, list string) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	go func() {
		// pg_restore that ends early closes the pipe; its own error says why.
		_, _ = io.WriteString(w, list)
		_ = w.Close()
	}()
	cmd := exec.CommandContext(ctx, d.pgRestore, "--use-list=/dev/fd/3", "--file=-")
	cmd.Stdin = bytes.NewReader(archive)
	cmd.ExtraFiles = []*os.File{r}
	out, err := output(ctx, cmd)
	if err != nil {
		return "", err
	}
	return stripRestrict(string(out)), nil
}

// stripRestrict takes out the two commands for psql that newer minors write around a script: "\restrict KEY" and "\unrestrict KEY".
// The key is random, so no function's text can hold the same lines.
func stripRestrict(script string) string {
	head, rest, ok := strings.Cut(script, "\\restrict ")
	if !ok || strings.Contains(head, ";") {
		return script
	}
	key, rest, _ := strings.Cut(rest, "\n")
	if i := strings.LastIndex(rest, "\\unrestrict "+key); i >= 0 {
		rest = rest[:i]
	}
	return head + rest
}

// output runs a tool to its end and returns what it printed; its complaint becomes the error.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(cmd.Env, "LC_ALL=C", "PATH="+os.Getenv("PATH"))
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), context.Cause(ctx))
	}
	text := strings.TrimSpace(stderr.String())
	if len(text) > 1000 {
		text = text[:1000]
	}
	return nil, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), errors.Join(err, errors.New(text)))
}
