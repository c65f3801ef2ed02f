package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/providers"
	"meridian/providers/local/server"
	"meridian/stacks"
)

var (
	_ providers.Inventory = (*Provider)(nil)
	_ providers.Remover   = (*Provider)(nil)
)

// Inventory lists the servers below the root with this installation's owner mark.
func (p *Provider) Inventory(ctx context.Context, _ []providers.ModuleInput) ([]providers.Object, error) {
	entries, err := os.ReadDir(p.cfg.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	var out []providers.Object
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		home := filepath.Join(p.cfg.Root, e.Name())
		spec, err := server.MarkedSpec(home)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, providers.ErrForeign) {
			continue // not a server, or nobody's
		}
		if err != nil {
			return nil, fmt.Errorf("mark of %s: %w", home, err)
		}
		id, mine := p.stackOf(spec.Owner)
		if !mine {
			continue
		}
		o := providers.Object{
			Provider: Name, ID: home, Stack: id, Type: resourceType, Address: resourceAddress, ImportID: home, DataBearing: true,
		}
		sight, err := server.Look(ctx, home, spec.Owner)
		if err != nil {
			o.Detail = "a server that cannot be looked at: " + err.Error()
		} else {
			o.Detail = fmt.Sprintf("PostgreSQL %s at %s, %s", spec.EngineVersion, spec.HostPort(), sight.State)
		}
		out = append(out, o)
	}
	return out, nil
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
	return server.Destroy(ctx, o.ID, p.owner(o.Stack))
}
