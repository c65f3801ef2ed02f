package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Where Temporal keeps its workflows, as Options.Temporal says it; "" is SQLite in the data directory. Either wants Options.Postgres: the
// rows and Temporal's lists are there.
const (
	// OnPostgres keeps them in the PostgreSQL of the rows.
	OnPostgres = "postgres"
	// OnCassandra keeps them in a Cassandra of one node, which the suite starts, and kills, too.
	OnCassandra = "cassandra"
)

// shards of Temporal's store: few, for one small machine.
const shards = 16

// settings writes the settings file that server and workers read, where Temporal is not in the data directory.
func (s *suite) settings() (path string, err error) {
	u, err := url.Parse(s.node.url)
	if err != nil {
		return "", err
	}
	password, _ := u.User.Password()
	u.User = url.User(u.User.Username())
	secret := filepath.Join(s.Aside, "temporal-password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		return "", err
	}
	postgres := fmt.Sprintf("postgres: {url: %q, password: {file: %q}}", u, secret)
	text := fmt.Sprintf("temporal:\n  store: %s\n  shards: %d\n", s.Temporal, shards)
	if s.Temporal == OnCassandra {
		text += fmt.Sprintf("  cassandra: {hosts: [%q]}\n  visibility: {%s}\n", s.cassandra.address, postgres)
	} else {
		text += "  " + postgres + "\n"
	}
	path = filepath.Join(s.Aside, "settings.yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// cassandraNode is the Cassandra that holds Temporal's workflows.
type cassandraNode struct {
	program, dir string
	address      string
	log          string
}

// newCassandra starts a node in a new directory. Java's paths are short.
func (s *suite) newCassandra(ctx context.Context) (*cassandraNode, error) {
	root, err := os.MkdirTemp("/tmp", "m-chaos-c-")
	if err != nil {
		return nil, err
	}
	if err := passable(root); err != nil {
		return nil, err
	}
	n := &cassandraNode{program: filepath.Join(s.Bin, "cassandra"), dir: filepath.Join(root, "node"), log: filepath.Join(s.Aside, "cassandra.log")}
	out, err := n.do(ctx, "up")
	n.address = strings.TrimSpace(out)
	return n, err
}

// do runs the program that knows how a node is started.
func (n *cassandraNode) do(ctx context.Context, verb string) (string, error) {
	cmd := exec.CommandContext(ctx, n.program, verb, n.dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", n.program, verb, err, strings.TrimSpace(errs.String()))
	}
	return string(out), err
}

// process is the node's own, if it lives.
func (n *cassandraNode) process() []process {
	all := processes(n.dir)
	all = slices.DeleteFunc(all, func(p process) bool { return filepath.Base(p.args[0]) != "java" })
	for i := range all {
		all[i].role = RoleTemporal
	}
	return all
}

// cassandraAway is how long the node may stay away: it starts in seconds on a quiet machine.
const cassandraAway = 5 * time.Minute

// keepCassandra starts the node again whenever it is gone, and removes it in the end.
func (s *suite) keepCassandra(ctx context.Context, fail context.CancelCauseFunc) {
	n := s.cassandra
	last := time.Now()
	for ctx.Err() == nil {
		if len(n.process()) > 0 {
			last = time.Now()
		} else if _, err := n.do(ctx, "up"); err != nil && ctx.Err() == nil && time.Since(last) > cassandraAway {
			fail(fmt.Errorf("temporal's Cassandra does not come up: %w", err))
			return
		}
		pause(ctx, restart)
	}
	for _, p := range n.process() {
		p.signal(syscall.SIGKILL)
	}
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), settles)
	defer stop()
	if _, err := n.do(end, "remove"); err != nil {
		s.say("%v", err)
		return
	}
	_ = os.Remove(filepath.Dir(n.dir)) // it is empty
}

// startTemporal starts what Temporal keeps its workflows in, where it is not in the data directory.
func (s *suite) startTemporal(ctx context.Context) (err error) {
	switch s.Temporal {
	case "":
		return nil
	case OnPostgres, OnCassandra:
	default:
		return fmt.Errorf("%q is no store of Temporal: want %s or %s", s.Temporal, OnPostgres, OnCassandra)
	}
	if s.node == nil {
		return errors.New("temporal on another store wants the rows in PostgreSQL")
	}
	if s.Temporal == OnCassandra {
		if s.cassandra, err = s.newCassandra(ctx); err != nil {
			return err
		}
	}
	s.config, err = s.settings()
	return err
}
