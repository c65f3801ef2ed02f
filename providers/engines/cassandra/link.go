package cassandra

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"meridian/providers"
)

// beatFor bounds how long one look waits for a row; beatPoll is how exact the lag is.
const (
	beatFor  = 5 * time.Second
	beatPoll = 5 * time.Millisecond
)

// EnsureLink has the link's keyspaces span the target's data centre and fills it.
func (Engine) EnsureLink(ctx context.Context, in providers.LinkInput) error {
	s, from, to, err := open2(ctx, in)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.fence(ctx, "link "+in.Link.Name(), in.RunNumber); err != nil {
		return err
	}
	all, err := s.keyspaces(ctx)
	if err != nil {
		return err
	}
	return s.span(ctx, all, append(slices.Clone(shared), in.Link.Databases...), from, to)
}

// open2 opens a link's source and names both data centres.
func open2(ctx context.Context, in providers.LinkInput) (s *session, from, to side, err error) {
	if s, err = open(ctx, in.From); err != nil {
		return nil, from, to, err
	}
	if from, to, err = s.sides(ctx, in.From, in.To); err != nil {
		s.Close()
		return nil, from, to, err
	}
	from.rebuild, to.rebuild = in.RebuildSource, in.Rebuild
	return s, from, to, nil
}

// CheckLink is ready when each keyspace spans both data centres, all of it is filled, and a row that was written in either is read in the
// other, each time by a quorum of that data centre alone.
func (Engine) CheckLink(ctx context.Context, in providers.LinkInput) (providers.LinkStatus, error) {
	pending := func(format string, args ...any) (providers.LinkStatus, error) {
		return providers.LinkStatus{State: providers.StatePending, Message: fmt.Sprintf(format, args...)}, nil
	}
	s, from, to, err := open2(ctx, in)
	if errors.Is(err, errJoining) {
		return pending("%s", err)
	}
	if err != nil {
		return providers.LinkStatus{}, err
	}
	defer s.Close()
	all, err := s.keyspaces(ctx)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	for _, name := range append(slices.Clone(shared), in.Link.Databases...) {
		for _, dc := range []string{from.dc, to.dc} {
			if all[name].dcs[dc] == 0 {
				return providers.LinkStatus{State: providers.StateFailed, Message: fmt.Sprintf("keyspace %s does not span data centre %s; apply again to have it span it", name, dc)}, nil
			}
		}
	}
	for _, dc := range []string{from.dc, to.dc} {
		fills, err := s.fills(ctx, dc)
		if err != nil {
			return providers.LinkStatus{}, err
		}
		if lacks := unfilled(fills); len(lacks) > 0 {
			return pending("filling %s: %s", dc, strings.Join(lacks, ", "))
		}
	}
	other, err := open(ctx, in.To)
	if err != nil {
		return providers.LinkStatus{}, err
	}
	defer other.Close()
	lag, err := beat(ctx, s, other, in.Link.Name(), "there")
	if err == nil {
		_, err = beat(ctx, other, s, in.Link.Name(), "back")
	}
	switch {
	case errors.Is(err, errNotArrived):
		return pending("%s", err)
	case err != nil:
		return providers.LinkStatus{}, err
	case in.MaxLag > 0 && lag > in.MaxLag:
		status, err := pending("a row took %s to %s; %s is allowed", lag.Round(time.Millisecond), in.To.Region, in.MaxLag)
		status.Late = true
		return status, err
	}
	return providers.LinkStatus{State: providers.StateReady, Lag: lag}, nil
}

var errNotArrived = errors.New("a row has not arrived yet")

// beat writes a row in one data centre and waits until the other reads it.
func beat(ctx context.Context, from, to *session, link, way string) (time.Duration, error) {
	id := rand.Text()
	if err := from.exec(ctx, "INSERT INTO "+own+".beats (link, way, beat) VALUES (?, ?, ?)", link, way, id); err != nil {
		return 0, fmt.Errorf("write a row in %s: %w", from.region, err)
	}
	written := time.Now()
	for {
		var seen string
		err := to.Query("SELECT beat FROM "+own+".beats WHERE link = ? AND way = ?", link, way).WithContext(ctx).Scan(&seen)
		if err != nil && !errors.Is(err, gocql.ErrNotFound) {
			return 0, fmt.Errorf("read a row in %s: %w", to.region, err)
		}
		switch lag := time.Since(written); {
		case seen == id:
			return lag, nil
		case lag > beatFor:
			return 0, fmt.Errorf("from %s to %s: %w", from.region, to.region, errNotArrived)
		}
		select {
		case <-time.After(beatPoll):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// leftBehind is a source that does not answer.
type leftBehind struct {
	region string
	err    error
}

func (l leftBehind) Error() string {
	return fmt.Sprintf("region %s does not answer (%v): its keyspaces still span the other", l.region, l.err)
}
func (l leftBehind) Unwrap() []error           { return []error{l.err, providers.ErrLeftBehind} }
func (l leftBehind) LeftIn(region string) bool { return region == l.region }

// RemoveLink has no keyspace span the target's data centre any more, which the region's removal then takes out of the cluster. A target that
// is dead is in nobody's way.
func (Engine) RemoveLink(ctx context.Context, in providers.LinkInput) error {
	s, err := open(ctx, in.From)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return leftBehind{region: in.Link.From, err: err}
	}
	defer s.Close()
	if err := s.fence(ctx, "link "+in.Link.Name(), in.RunNumber); err != nil {
		return err
	}
	members, err := s.members(ctx, in.From)
	if err != nil {
		return err
	}
	from, to := members[0].datacenter, in.Link.To
	if i := find(members, in.To); i >= 0 { // else its node has left already: it has the region's name, where nobody gave it another
		to = members[i].datacenter
	}
	all, err := s.keyspaces(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		dcs := all[name].dcs
		// Cassandra keeps users and rights in each data centre that has nodes: they go out of it after the node, by the next EnsureObjects.
		if dcs[to] == 0 || to == from || name == "system_auth" {
			continue
		}
		less := maps.Clone(dcs)
		delete(less, to)
		if len(less) == 0 {
			return permanent("keyspace %s is in data centre %s alone: have it span %s, or drop it, and apply again", name, to, from)
		}
		if err := s.alter(ctx, name, less); err != nil {
			return err
		}
	}
	if err := s.exec(ctx, "DELETE FROM "+own+".places WHERE region = ?", in.Link.To); err != nil {
		return fmt.Errorf("forget the place of %s: %w", in.Link.To, err)
	}
	if err := s.exec(ctx, "DELETE FROM "+own+".rebuilds WHERE datacenter = ?", to); err != nil {
		return fmt.Errorf("forget what was filled in %s: %w", to, err)
	}
	return nil
}
