package activities

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/stacks"
)

// DriftInside asks a region's database itself: does it answer, does it let us in, is in it what was made there. It changes nothing.
func (a *Activities) DriftInside(ctx context.Context, in DriftPartInput) error {
	j, err := a.loadDrift(ctx, in.Check)
	if err != nil {
		return err
	}
	part := catalog.DriftPart{Part: driftInsidePart + in.Part}
	if done, err := a.driftDone(ctx, j, part.Part); err != nil || done {
		return err
	}
	target, err := a.driftTarget(ctx, j, in.Part)
	if errors.Is(err, catalog.ErrNotFound) { // it has no database to ask
		return a.putDrift(ctx, j, part)
	}
	if err != nil {
		return err
	}
	items, err := a.inspect(ctx, j, in.Part, target)
	if err != nil {
		if mayPass(ctx) && !permanent(err) {
			return err
		}
		part.Outcome, part.Message = catalog.DriftUnknown, err.Error()
	}
	if mayPass(ctx) && len(items) == 1 && items[0].Kind == stacks.DriftUnreachable {
		return fmt.Errorf("%s: %s: %w", in.Part, items[0].Message, errPending)
	}
	for i := range items {
		items[i].Region = in.Part
	}
	part.Drift = items
	return a.putDrift(ctx, j, part)
}

// driftTarget is how a region is reached; of what is no database, where it answers is all that there is.
func (a *Activities) driftTarget(ctx context.Context, j driftJob, region string) (providers.Target, error) {
	id := stackID(j.run, region)
	if a.Registry.HasDatabase(j.spec.Spec.Engine.Name) {
		return a.target(ctx, id, j.spec)
	}
	endpoint, err := a.Catalog.Endpoint(ctx, id)
	return providers.Target{Region: region, Endpoint: endpoint}, err
}

// inspect looks in the order of the gates: what does not accept cannot be asked, what does not let us in neither.
func (a *Activities) inspect(ctx context.Context, j driftJob, region string, t providers.Target) ([]stacks.DriftItem, error) {
	address := net.JoinHostPort(t.Endpoint.Host, strconv.Itoa(t.Endpoint.Port))
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		message := "nothing accepts at " + address
		if word := a.cloudsWord(ctx, j, region); word != "" {
			message += "; " + word
		}
		return []stacks.DriftItem{{Kind: stacks.DriftUnreachable, Subject: "endpoint", Message: message}}, nil
	}
	_ = conn.Close()
	engine, err := a.Registry.Engine(j.spec.Spec.Engine.Name)
	if err != nil {
		return nil, err
	}
	if prober, err := providers.As[providers.Prober](engine); err == nil {
		said := prober.Probe(ctx, t)
		switch {
		case errors.Is(said, providers.ErrDenied):
			return []stacks.DriftItem{{Kind: stacks.DriftLogin, Subject: "admin " + t.Endpoint.User, Sensitive: true, Message: "the administrator is not let in: its password, or its right to log in, is another"}}, nil
		case said != nil:
			return []stacks.DriftItem{{Kind: stacks.DriftUnreachable, Subject: "endpoint", Message: said.Error()}}, nil //nolint:nilerr // that it does not answer is what was looked for
		}
	}
	inspector, err := providers.As[providers.Inspector](engine)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	objects, err := a.objects(ctx, j.run, j.spec)
	if err != nil {
		return nil, err
	}
	links, err := a.linksFrom(ctx, j.check.Incarnation, j.spec, region)
	if err != nil {
		return nil, err
	}
	peers, err := a.peers(ctx, j, region)
	if err != nil {
		return nil, err
	}
	return inspector.Inspect(ctx, t, providers.InspectInput{Incarnation: j.check.Incarnation, Objects: objects, Links: links, Peers: peers})
}

// peers are the other regions of a database that answer somewhere.
func (a *Activities) peers(ctx context.Context, j driftJob, region string) ([]providers.Target, error) {
	var out []providers.Target
	for _, r := range j.spec.Spec.Regions {
		if r.Name == region {
			continue
		}
		t, err := a.target(ctx, stackID(j.run, r.Name), j.spec)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// cloudsWord is what the control plane says of a region that does not answer, "" where it says nothing.
func (a *Activities) cloudsWord(ctx context.Context, j driftJob, region string) string {
	r, _ := j.spec.Region(region)
	provider, err := a.Registry.Provider(r.Provider)
	if err != nil {
		return ""
	}
	cloud, err := providers.As[providers.ControlPlane](provider)
	if err != nil {
		return ""
	}
	module, err := a.moduleInput(ctx, work{spec: j.spec, region: r, stack: stackID(j.run, region), provider: provider})
	if err != nil {
		return ""
	}
	st, err := cloud.ControlPlane(ctx, module)
	if err != nil {
		return ""
	}
	return st.Message
}

// linksFrom lists the links that read from a region: those of a spec, and those that were left out of it and are kept.
func (a *Activities) linksFrom(ctx context.Context, incarnation string, spec stacks.Database, region string) ([]stacks.Link, error) {
	rows, err := a.Catalog.Links(ctx, incarnation)
	if err != nil {
		return nil, err
	}
	var out []stacks.Link
	for _, l := range spec.Spec.Replication.Links {
		if l.From == region && !l.Drop {
			out = append(out, l)
		}
	}
	for _, r := range rows {
		if r.Spec.From == region {
			out = append(out, r.Spec)
		}
	}
	return out, nil
}

// DriftLink looks at one link: a row written at its source is read at its target, within maxLag.
func (a *Activities) DriftLink(ctx context.Context, in DriftPartInput) error {
	j, err := a.loadDrift(ctx, in.Check)
	if err != nil {
		return err
	}
	part := catalog.DriftPart{Part: driftLinkPart + in.Part}
	if done, err := a.driftDone(ctx, j, part.Part); err != nil || done {
		return err
	}
	var link stacks.Link
	for _, l := range j.spec.Spec.Replication.Links {
		if l.Name() == in.Part {
			link = l
		}
	}
	st, err := a.lookOnce(ctx, j, link)
	item, drifted := linkDrift(link, st)
	if st.Moving {
		part.Message = st.Message
	}
	switch {
	case errors.Is(err, providers.ErrSuperseded), errors.Is(err, catalog.ErrNotFound), errors.Is(err, errors.ErrUnsupported):
		part.Outcome, part.Message = catalog.DriftUnknown, err.Error()
		return a.putDrift(ctx, j, part)
	case err != nil && mayPass(ctx) && !permanent(err):
		return fmt.Errorf("link %s: %w", in.Part, err)
	case err != nil:
		item.Message = err.Error()
	case !drifted:
		return a.putDrift(ctx, j, part)
	}
	part.Drift = []stacks.DriftItem{item}
	return a.putDrift(ctx, j, part)
}

// linkDrift is what a look at a link means: a first copy that gets on, as of a table that is new, is what it should do. It is pure.
func linkDrift(link stacks.Link, st providers.LinkStatus) (item stacks.DriftItem, drifted bool) {
	if st.State == providers.StateReady || st.State == providers.StatePending && st.Moving {
		return item, false
	}
	item = stacks.DriftItem{Kind: stacks.DriftLink, Region: link.To, Subject: "link " + link.Name(), Message: st.Message}
	if st.Late {
		item.Kind = stacks.DriftLag
	}
	return item, true
}

// lookOnce looks at a link until it is ready, cannot become it, or LinkLook is over; a copy that got on in any of its looks is moving.
func (a *Activities) lookOnce(ctx context.Context, j driftJob, link stacks.Link) (st providers.LinkStatus, err error) {
	engine, err := a.Registry.Engine(j.spec.Spec.Engine.Name)
	if err != nil {
		return st, err
	}
	linker, err := providers.As[providers.Linker](engine)
	if err != nil {
		return st, err
	}
	password, err := a.Catalog.Secret(ctx, j.check.Incarnation, linkSecret(link.Name()))
	if err != nil {
		return st, fmt.Errorf("secret of link %s: %w", link.Name(), err)
	}
	in, err := a.linkInput(ctx, j.run, j.spec, link, password)
	if err != nil {
		return st, err
	}
	until := time.Now().Add(a.Timing.LinkLook)
	moved := ""
	for {
		if st, err = linker.CheckLink(ctx, in); err != nil || st.State != providers.StatePending {
			return st, err
		}
		if st.Moving {
			moved = st.Message
		}
		if time.Now().After(until) {
			if moved != "" {
				st.Moving, st.Message = true, moved
			}
			return st, nil
		}
		select {
		case <-time.After(looksEvery):
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}
