package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"meridian/providers"
)

// ours is the database that holds what is Meridian's own in a server.
const ours = "meridian"

// fenceLock is the named lock that a step holds on a server while it changes it.
const fenceLock = "meridian.fence"

// fenceWait bounds the wait for another attempt of the same run; its end is normally a matter of milliseconds.
const fenceWait = 10 * time.Second

var errBusy = errors.New("another attempt is at work here")

// guard is the right to change one server in the name of a run, and the session through which everything is changed.
type guard struct {
	*session
	run int64
}

// newGuard takes the lock and writes the run's number. A number smaller than the one that is there is refused with ErrSuperseded. A
// session of an older run that holds the lock is ended, so a stopped attempt of one cannot hold the server up or write later; one that
// does nothing for two minutes is ended by the server.
func newGuard(ctx context.Context, t providers.Target, run int64) (*guard, error) {
	s, err := connect(ctx, t)
	if err != nil {
		return nil, err
	}
	g := &guard{session: s, run: run}
	if err := g.take(ctx); err != nil {
		g.close()
		return nil, fmt.Errorf("fence of %s: %w", t.Region, err)
	}
	return g, nil
}

func (g *guard) take(ctx context.Context) error {
	if err := checkFence(ctx, g.session, g.run); err != nil {
		return err
	}
	if err := g.lock(ctx); err != nil {
		return err
	}
	for _, make := range []string{
		"CREATE DATABASE IF NOT EXISTS " + ours + " CHARACTER SET utf8mb4",
		"CREATE TABLE IF NOT EXISTS " + ours + ".fence (one TINYINT PRIMARY KEY, number BIGINT NOT NULL, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP) ENGINE=InnoDB",
		"INSERT IGNORE INTO " + ours + ".fence (one, number) VALUES (1, 0)",
	} {
		if err := g.exec(ctx, make); err != nil {
			return fmt.Errorf("make table: %w", err)
		}
	}
	if err := g.exec(ctx, "UPDATE "+ours+".fence SET number = ? WHERE one = 1 AND number < ?", g.run, g.run); err != nil {
		return fmt.Errorf("write run number: %w", err)
	}
	return checkFence(ctx, g.session, g.run)
}

// lock waits for the named lock, in short tries; between two of them it ends a holder of an older run.
func (g *guard) lock(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fenceWait, errBusy)
	defer cancel()
	for {
		var got *int
		err := g.QueryRowContext(ctx, "SELECT GET_LOCK(?, 1)", fenceLock).Scan(&got)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("wait for the lock: %w", context.Cause(ctx))
		case err != nil:
			return fmt.Errorf("take the lock: %w", err)
		case got != nil && *got == 1:
			return nil
		}
		if err := g.endOlder(ctx); err != nil {
			return err
		}
	}
}

// endOlder ends the session that holds the lock, where the number that is there is of a run before this one: a holder writes its own before it
// changes anything.
func (g *guard) endOlder(ctx context.Context) error {
	var holder *int64
	if err := g.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", fenceLock).Scan(&holder); err != nil {
		return fmt.Errorf("look who holds the lock: %w", err)
	}
	number, err := fenceNumber(ctx, g.session)
	if err != nil || holder == nil || number >= g.run {
		return err
	}
	return g.kill(ctx, *holder)
}

// kill ends a session: its own user's anybody may, another's only an administrator, in RDS by a procedure. One that is gone is fine.
func (s *session) kill(ctx context.Context, id int64) error {
	err := s.exec(ctx, "KILL "+strconv.FormatInt(id, 10))
	if noRight(err) || isCode(err, codeNoThreadOfYours) {
		err = s.exec(ctx, "CALL mysql.rds_kill("+strconv.FormatInt(id, 10)+")")
	}
	if err == nil || isCode(err, codeNoThread) {
		return nil
	}
	return fmt.Errorf("end session %d: %w", id, err)
}

// hold says whether the right still stands; a step asks before each thing that it changes.
func (g *guard) hold(ctx context.Context) error {
	if err := checkFence(ctx, g.session, g.run); err != nil {
		return fmt.Errorf("fence of %s: %w", g.region, err)
	}
	return nil
}

// fenceNumber is the run that was here last; 0 where none was.
func fenceNumber(ctx context.Context, s *session) (number int64, err error) {
	err = s.QueryRowContext(ctx, "SELECT number FROM "+ours+".fence WHERE one = 1").Scan(&number)
	if isCode(err, codeNoTable, codeNoDatabase) {
		return 0, nil
	}
	if _, err := one(err); err != nil {
		return 0, fmt.Errorf("read run number: %w", err)
	}
	return number, nil
}

// checkFence reads the number on the server and refuses a run of a smaller one.
func checkFence(ctx context.Context, s *session, run int64) error {
	number, err := fenceNumber(ctx, s)
	if err == nil && number > run {
		err = fmt.Errorf("run %d, but run %d: %w", run, number, providers.ErrSuperseded)
	}
	return err
}
