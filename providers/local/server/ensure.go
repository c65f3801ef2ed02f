package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// Info is what a running server said.
type Info struct {
	Has              Spec // what it has of the wished spec, in the wish's words where they mean the same
	PID              int
	Version          string // exact
	SystemIdentifier string
	// PasswordStamp changes whenever somebody sets the administrator's password.
	PasswordStamp string
}

// Password is an administrator's password; it prints as stars.
type Password string

// String hides the password.
func (Password) String() string { return "****" }

// GoString hides the password.
func (Password) GoString() string { return "****" }

// Ensure makes the server what the spec says and returns once it accepts connections: a missing one is made, one of ours is adopted and
// changed in place (a restart where a setting needs it). It may be repeated and may have been killed anywhere before. An empty password
// leaves the one that is there. Foreign directories and addresses are providers.ErrForeign.
func Ensure(ctx context.Context, s Spec, password Password) (Info, error) {
	if err := s.Check(); err != nil {
		return Info{}, errors.Join(err, providers.ErrPermanent)
	}
	s.Home = filepath.Clean(s.Home)
	a, err := machine.RunAs()
	if err != nil {
		return Info{}, err
	}
	lock, m, err := s.claim(ctx, a)
	if err != nil {
		return Info{}, err
	}
	defer lock.Close() // released
	b, err := s.binaries(ctx, m)
	if err != nil {
		return Info{}, err
	}
	if err := checkReach(a, b, filepath.Dir(s.Home)); err != nil {
		return Info{}, err
	}
	if err := b.CheckSettings(ctx, s.Settings); err != nil { // before the server sees them: a restart with a wrong one leaves it down
		return Info{}, err
	}
	m.Binaries = b.Dir
	if err := m.write(a); err != nil {
		return Info{}, err
	}
	there, err := s.hasCluster()
	if err != nil {
		return Info{}, err
	}
	if !there {
		if err := machine.Pause(ctx, delay()); err != nil {
			return Info{}, err
		}
		if err := s.make(ctx, a, b, lock); err != nil {
			return Info{}, err
		}
	}
	if err := s.bringUp(ctx, a, b, m.Spec); err != nil {
		return Info{}, err
	}
	info, err := s.settle(ctx, a, b, password)
	if err != nil {
		return Info{}, err
	}
	m.Spec = s // only now: until then the marker says what the running server was made from
	return info, m.write(a)
}

// EnvDelay is a duration by which each creation is held up between its marker and its cluster, for tests that kill in the middle. Changes
// of directories beside the server are held up for a random part of it.
const EnvDelay = "MERIDIAN_LOCALDB_DELAY"

func delay() time.Duration {
	d, err := time.ParseDuration(os.Getenv(EnvDelay))
	if err != nil {
		return 0
	}
	return d
}

// claim takes the home and its lock and reads its marker, or writes the first.
func (s Spec) claim(ctx context.Context, a machine.Account) (lock *os.File, m marker, err error) {
	read := func() error { m, err = readMarker(s.Home); return err }
	lock, err = homeAt(s.Home).Claim(ctx, a, read, func() error {
		if err := read(); errors.Is(err, fs.ErrNotExist) {
			m = marker{Spec: s}
			m.PasswordVersion = 0 // until it is set: who imports a server that was never finished must set it
			return m.write(a)
		} else if err != nil {
			return err
		}
		return m.checkOwner(s.Owner)
	})
	return lock, m, err
}

// binaries chooses the programs: those that the server was last started from, while they are what is asked for; else the newest that are.
func (s Spec) binaries(ctx context.Context, m marker) (Binaries, error) {
	there, err := s.hasCluster()
	if err != nil {
		return Binaries{}, err
	}
	if there {
		major, err := s.clusterMajor()
		if err != nil {
			return Binaries{}, err
		}
		if major != Major(s.EngineVersion) {
			return Binaries{}, fmt.Errorf("the data in %s is of postgres %d, not %s: a server does not change its major version in place: %w",
				s.Home, major, s.EngineVersion, providers.ErrPermanent)
		}
		if v, err := versionOf(ctx, m.Binaries); err == nil && Satisfies(v, s.EngineVersion) {
			return Binaries{Dir: m.Binaries, Version: v}, nil
		}
	}
	found, err := Find(ctx)
	if err != nil {
		return Binaries{}, err
	}
	return Resolve(found, s.EngineVersion)
}

// WouldRun is the exact version that Ensure would run the server with, if it started it now.
func (s Spec) WouldRun(ctx context.Context) (string, error) {
	s.Home = filepath.Clean(s.Home)
	m, err := readMarker(s.Home)
	if err != nil {
		return "", err
	}
	b, err := s.binaries(ctx, m)
	return b.Version, err
}

// make makes the cluster. What still runs of an earlier one of this very path, whose directory was removed under it, is ended first.
func (s Spec) make(ctx context.Context, a machine.Account, b Binaries, lock *os.File) error {
	if err := killResidents(ctx, s.dataDir()); err != nil {
		return err
	}
	if taken, err := machine.Occupied(ctx, s.Address, s.Port); err != nil {
		return err
	} else if taken {
		return s.taken()
	}
	if err := os.Remove(s.dataDir()); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one only
		return err
	}
	return s.initdb(ctx, a, b, lock)
}

// bringUp writes the configuration and has the server run with it. was is what the running server was made from.
func (s Spec) bringUp(ctx context.Context, a machine.Account, b Binaries, was Spec) error {
	changed, err := s.configure(a)
	if err != nil {
		return err
	}
	p, running := postmaster(s.dataDir())
	if running && changed && (was.Address != s.Address || was.Port != s.Port || was.clusterName() != s.clusterName()) {
		if err := s.stop(ctx, fast, immediate); err != nil {
			return err
		}
		running = false
	}
	if !running {
		return s.start(ctx, a, b)
	}
	if p.ready {
		return nil
	}
	return s.awaitReady(ctx)
}

// awaitReady waits for a server that somebody else started.
func (s Spec) awaitReady(ctx context.Context) error {
	deadline := time.Now().Add(recoverFor)
	for {
		p, ok := postmaster(s.dataDir())
		switch {
		case !ok:
			return fmt.Errorf("postgres in %s ended at its start; its log is %s", s.Home, filepath.Join(s.Home, logName))
		case p.ready:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("postgres in %s does not accept connections after %s", s.Home, recoverFor)
		}
		if err := machine.Pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// settle makes the running server have the spec's settings, version and password.
func (s Spec) settle(ctx context.Context, a machine.Account, b Binaries, password Password) (Info, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return Info{}, err
	}
	defer func() { closeConn(conn) }()
	restart, err := s.reload(ctx, conn)
	if err != nil {
		return Info{}, err
	}
	id, err := s.identify(ctx, conn)
	if err != nil {
		return Info{}, err
	}
	if restart || id.pendingAny || !Satisfies(id.version, s.EngineVersion) {
		closeConn(conn)
		if err := s.stop(ctx, fast, immediate); err != nil {
			return Info{}, err
		}
		if err := s.start(ctx, a, b); err != nil {
			return Info{}, err
		}
		if conn, err = s.connect(ctx); err != nil {
			return Info{}, err
		}
	}
	if password != "" {
		if err := setPassword(ctx, conn, string(password)); err != nil {
			return Info{}, fmt.Errorf("set the administrator's password: %w", err)
		}
	}
	return s.info(ctx, conn)
}

func closeConn(conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the session ends with its socket in any case
}
