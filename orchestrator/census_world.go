package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"meridian/orchestrator/activities"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// acts are the activities of this process, where it works.
func (l *census) acts() (*activities.Activities, bool) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if l.client.reconciler == nil {
		return nil, false
	}
	return l.client.reconciler.acts, true
}

// known is what the newest state of a stack knows.
type known struct {
	head      journal.Head
	objects   []terraform.StateObject
	bearing   []string // types that hold data
	unread    bool     // its state cannot be read: nothing is known of what it knows
	inTheWork bool     // something works on it, so the world moves
}

// knows reports whether the state has a resource that is this object.
func (k known) knows(o providers.Object) bool {
	text, err := json.Marshal(o.ImportID)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(k.objects, func(s terraform.StateObject) bool {
		return s.Type == o.Type && s.Mode == "managed" && slices.ContainsFunc(s.Attributes, func(a stacks.AttributeChange) bool { return a.After == string(text) })
	})
}

// inventory lists what carries our mark, of every provider that can say so; those that cannot be asked are returned by name.
func (c *Client) inventory(ctx context.Context) (objects []providers.Object, asked, away []string, err error) {
	for _, name := range c.registry.ProviderNames() {
		p, err := c.registry.Provider(name)
		if err != nil {
			return nil, nil, nil, err
		}
		lister, err := providers.As[providers.Inventory](p)
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		if err != nil {
			return nil, nil, nil, err
		}
		places, err := c.places(ctx, name)
		if err != nil {
			return nil, nil, nil, err
		}
		list, err := lister.Inventory(ctx, places)
		if err != nil {
			c.logger.Warn("inventory", "provider", name, "error", err)
			away = append(away, name)
			continue
		}
		asked = append(asked, name)
		objects = append(objects, list...)
	}
	return objects, asked, away, nil
}

// places are the regions that a spec has ever had with a provider; those that are there have their placements.
func (c *Client) places(ctx context.Context, provider string) (out []providers.ModuleInput, err error) {
	all, err := c.catalog.Regions(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if region, ok := r.Effective.Region(r.Stack.Region); ok && region.Provider == provider {
			place := providers.ModuleInput{Stack: r.Stack, Database: r.Effective, Region: region}
			if place.Placement, err = c.catalog.Placement(ctx, r.Stack); err != nil && !isNotFound(err) {
				return nil, err
			}
			out = append(out, place)
		}
	}
	return out, nil
}

// knownStates reads what the newest state of every stack knows.
func (c *Client) knownStates(ctx context.Context) (map[stacks.StackID]known, error) {
	heads, err := c.journal.Heads(ctx, "")
	if err != nil {
		return nil, err
	}
	out := map[stacks.StackID]known{}
	for _, h := range heads {
		k := known{head: h, inTheWork: h.Status == journal.HeadRunning}
		if d, err := c.catalog.Incarnation(ctx, h.Stack.Incarnation); err == nil && d.ActiveRun != "" {
			k.inTheWork = true
		} else if err != nil && !isNotFound(err) {
			return nil, err
		}
		s, err := c.journal.LatestState(ctx, h.Stack)
		if err == nil {
			k.objects, err = terraform.ShowState(s.Payload)
		}
		if err != nil {
			c.logger.Warn("state", "stack", h.Stack.String(), "error", err)
			k.unread = true
		}
		stack, err := c.journal.LastStack(ctx, h.Stack)
		if err != nil && !isNotFound(err) {
			c.logger.Warn("newest step", "stack", h.Stack.String(), "error", err)
		}
		k.bearing = stack.DataBearing
		out[h.Stack] = k
	}
	return out, nil
}

// orphans lists the objects that no state knows. What a stack that is being worked on has not shipped yet is none.
func orphans(objects []providers.Object, states map[stacks.StackID]known) []providers.Object {
	var out []providers.Object
	for _, o := range objects {
		k, there := states[o.Stack]
		if there && (k.inTheWork || k.unread || k.knows(o)) {
			continue
		}
		out = append(out, o)
	}
	return out
}

// world holds states against what is there.
func (l *census) world(ctx context.Context) error {
	objects, asked, away, err := l.client.inventory(ctx)
	if err != nil {
		return err
	}
	for _, name := range away {
		l.find(FsckFinding{Check: CheckWorldReachable, Subject: "provider " + name, What: "it cannot be asked what is there", Next: "see the server's log"})
	}
	states, err := l.client.knownStates(ctx)
	if err != nil {
		return err
	}
	for _, o := range orphans(objects, states) {
		l.find(FsckFinding{
			Check: CheckWorldKnown, Subject: o.ID, What: fmt.Sprintf("%s: it is marked as %s and no state knows it", o.Detail, o.Stack),
			Next: "adopt it or remove it: meridian orphans list",
		})
	}
	for id, k := range states {
		if k.inTheWork || k.unread {
			continue
		}
		provider, ok := l.client.providerOf(ctx, id)
		if !ok || !slices.Contains(asked, provider) {
			continue
		}
		for _, s := range k.objects {
			if s.Mode != "managed" || s.Deposed != "" || !slices.Contains(k.bearing, s.Type) {
				continue
			}
			there := slices.ContainsFunc(objects, func(o providers.Object) bool {
				return o.Stack == id && known{objects: []terraform.StateObject{s}}.knows(o)
			})
			if !there {
				l.find(FsckFinding{
					Check: CheckWorldThere, Subject: "stack " + id.String(), What: s.Address + " is in its state and not in the world: its data is gone, or was moved away",
					Next: "bring it back, or apply to make an empty one, or destroy the database",
				})
			}
		}
	}
	return nil
}

// providerOf is the name of the provider of a stack's region, as the newest spec that has it says.
func (c *Client) providerOf(ctx context.Context, id stacks.StackID) (string, bool) {
	rev, err := c.catalog.Revision(ctx, id.Incarnation, 0)
	for n := rev.Number; err == nil && n > 0; n-- {
		if region, ok := rev.Effective.Region(id.Region); ok {
			return region.Provider, true
		}
		rev, err = c.catalog.Revision(ctx, id.Incarnation, n-1)
	}
	return "", false
}

// links holds the links of ready databases against the slots on their sources.
func (l *census) links(ctx context.Context) error {
	c := l.client
	dbs, err := c.catalog.Databases(ctx, "")
	if err != nil {
		return err
	}
	for _, d := range dbs {
		rev, err := c.catalog.Revision(ctx, d.Incarnation, 0)
		if err != nil {
			return err
		}
		rows, err := c.catalog.Links(ctx, d.Incarnation)
		if err != nil {
			return err
		}
		engine, err := c.registry.Engine(rev.Effective.Spec.Engine.Name)
		if err != nil {
			continue // an engine that this server does not have
		}
		lister, err := providers.As[providers.SlotLister](engine)
		if err != nil || d.ActiveRun != "" {
			continue
		}
		for _, region := range rev.Effective.Spec.Regions {
			want := 0
			for _, link := range rows {
				if link.Spec.From == region.Name {
					want += len(link.Spec.Databases)
				}
			}
			subject := fmt.Sprintf("%s/%s in %s", d.Namespace, d.Name, region.Name)
			slots, asked := c.slotsOf(ctx, lister, stacks.StackID{Namespace: d.Namespace, Name: d.Name, Incarnation: d.Incarnation, Region: region.Name})
			switch {
			case !asked && want > 0:
				l.find(FsckFinding{Check: CheckWorldReachable, Subject: subject, What: "it does not answer: its slots were not counted", Next: "meridian describe " + d.Name})
			case asked && len(slots) != want:
				l.find(FsckFinding{
					Check: CheckLinkSlots, Subject: subject, What: fmt.Sprintf("its links account for %d replication slots, it has %d: %v", want, len(slots), slots),
					Next: "apply again: links are made and swept then",
				})
			}
		}
	}
	return nil
}

// slotsOf asks a region for its slots; false where it has no endpoint or does not answer.
func (c *Client) slotsOf(ctx context.Context, lister providers.SlotLister, id stacks.StackID) ([]string, bool) {
	endpoint, err := c.catalog.Endpoint(ctx, id)
	if err != nil {
		return nil, false
	}
	password, err := c.catalog.Secret(ctx, id.Incarnation, endpoint.Secret)
	if err != nil {
		return nil, false
	}
	slots, err := lister.SlotsOf(ctx, providers.Target{Region: id.Region, Endpoint: endpoint, Password: password}, id.Incarnation)
	if err != nil {
		c.logger.Warn("slots", "stack", id.String(), "error", err)
	}
	return slots, err == nil
}
