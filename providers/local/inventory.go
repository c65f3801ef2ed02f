package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"meridian/providers"
	"meridian/providers/local/cassandra"
	"meridian/providers/local/server"
	"meridian/stacks"
)

var (
	_ providers.Inventory = (*Provider)(nil)
	_ providers.Remover   = (*Provider)(nil)
)

// Inventory lists the servers below the root with this installation's owner mark, and those that were taken over, wherever they are.
func (p *Provider) Inventory(ctx context.Context, places []providers.ModuleInput) ([]providers.Object, error) {
	entries, err := os.ReadDir(p.cfg.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	var out []providers.Object
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		home := filepath.Join(p.cfg.Root, e.Name())
		if o, ok, err := p.nodeObject(ctx, home); err != nil {
			return nil, err
		} else if ok {
			out = append(out, o)
			continue
		}
		spec, there, err := markedAt(home)
		if err != nil {
			return nil, err
		}
		if id, mine := p.stackOf(spec.Owner); there && mine {
			out = append(out, object(ctx, home, spec, id))
		}
	}
	for _, place := range places {
		home := place.Placement.Values[valueDataDir]
		if place.Placement.Takeover == nil || slices.ContainsFunc(out, func(o providers.Object) bool { return o.ID == home }) {
			continue
		}
		spec, there, err := markedAt(home)
		if err != nil {
			return nil, err
		}
		if there && spec.Owner == p.ownerOf(place) {
			out = append(out, object(ctx, home, spec, place.Stack))
		}
	}
	return out, nil
}

// markedAt reads the mark of a home; there is false where it is no server, or nobody's.
func markedAt(home string) (spec server.Spec, there bool, err error) {
	spec, err = server.MarkedSpec(home)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, providers.ErrForeign) {
		return spec, false, nil
	}
	if err != nil {
		return spec, false, fmt.Errorf("mark of %s: %w", home, err)
	}
	return spec, true, nil
}

func object(ctx context.Context, home string, spec server.Spec, id stacks.StackID) providers.Object {
	o := providers.Object{
		Provider: Name, ID: home, Stack: id, Type: resourceType, Address: resourceAddress, ImportID: home, DataBearing: true,
	}
	sight, err := server.Look(ctx, home, spec.Owner)
	if err != nil {
		o.Detail = "a server that cannot be looked at: " + err.Error()
	} else {
		o.Detail = fmt.Sprintf("PostgreSQL %s at %s, %s", spec.EngineVersion, spec.HostPort(), sight.State)
	}
	return o
}

// stackOf reads the stack from an owner mark of this installation.
func (p *Provider) stackOf(owner string) (stacks.StackID, bool) {
	rest, ok := strings.CutPrefix(owner, p.cfg.Installation+"/")
	if !ok {
		return stacks.StackID{}, false
	}
	id, err := stacks.ParseStackID(rest)
	return id, err == nil
}

// RemoveObject stops a server and removes its directory, if it is below the root and has the mark of the stack.
func (p *Provider) RemoveObject(ctx context.Context, o providers.Object, _ []providers.ModuleInput) error {
	if filepath.Dir(o.ID) != filepath.Clean(p.cfg.Root) {
		return fmt.Errorf("%s is not below %s: %w", o.ID, p.cfg.Root, providers.ErrForeign)
	}
	if o.Type == nodeType {
		return cassandra.LeaveAndDestroy(ctx, o.ID, p.owner(o.Stack))
	}
	return server.Destroy(ctx, o.ID, p.owner(o.Stack))
}
