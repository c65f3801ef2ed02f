package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"meridian/providers"
	"meridian/providers/local/directory"
	"meridian/providers/local/server"
)

// Locate finds a server by its home, or a directory by its path; the owner's mark in it says whether it is ours.
func (p *Provider) Locate(ctx context.Context, in providers.LocateInput) (providers.Located, error) {
	switch in.Type {
	case resourceType:
		return p.locateServer(ctx, in)
	case nodeType:
		return p.locateNode(ctx, in)
	case directoryType:
		return p.locateDirectory(in)
	}
	return unknown("nobody knows how to find a %s again", in.Type), nil
}

func unknown(format string, args ...any) providers.Located {
	return providers.Located{State: providers.FoundUnknown, Evidence: fmt.Sprintf(format, args...)}
}

// locateServer looks at the home's lock, mark and process. A home without a cluster is nothing to import: a create takes it up.
func (p *Provider) locateServer(ctx context.Context, in providers.LocateInput) (providers.Located, error) {
	home := in.Placement.Values[valueDataDir]
	if home == "" {
		return unknown("region %s has no place, so nobody knows where to look", in.Region.Name), nil
	}
	busy, err := server.Busy(home)
	if err != nil {
		return providers.Located{}, err
	}
	if busy {
		return providers.Located{State: providers.FoundSettling, Evidence: "a process still works in " + home}, nil
	}
	sight, err := server.Look(ctx, home, p.ownerOf(in.ModuleInput))
	if errors.Is(err, providers.ErrPermanent) {
		return unknown("%v", err), nil
	}
	if err != nil {
		return providers.Located{}, err
	}
	found := providers.Located{State: providers.FoundPresent, ImportID: home}
	switch sight.State {
	case server.StateAbsent:
		found = providers.Located{State: providers.FoundAbsent, Evidence: "there is no server in " + home}
		if sight.Spec.Home != "" {
			found.Evidence = "there is our mark and no cluster in " + home
		}
	case server.StateForeign:
		if sight.Spec.Home == "" { // the mark is another's; else it is only our address that is taken
			return providers.Located{State: providers.FoundForeign, Evidence: sight.Message}, nil
		}
		found.Evidence = "our server in " + home + " is stopped: " + sight.Message
	case server.StateStarting:
		found = providers.Located{State: providers.FoundSettling, Evidence: fmt.Sprintf("the server in %s (process %d) is starting", home, sight.PID)}
	case server.StateStopped:
		found.Evidence = "our server in " + home + " is stopped"
	case server.StateRunning:
		found.Healthy, found.Evidence = true, fmt.Sprintf("our server in %s runs (process %d)", home, sight.PID)
	}
	return found, nil
}

// locateDirectory looks at the mark. A directory without one is nothing to import: a create takes it.
func (p *Provider) locateDirectory(in providers.LocateInput) (providers.Located, error) {
	path, ok := p.directoryAt(in)
	if !ok {
		return unknown("%s is no directory of this region", in.Address), nil
	}
	mark, err := directory.Look(path, p.owner(in.Stack))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return providers.Located{State: providers.FoundAbsent, Evidence: "there is no " + path}, nil
	case errors.Is(err, providers.ErrForeign):
		return providers.Located{State: providers.FoundForeign, Evidence: err.Error()}, nil
	case err != nil:
		return providers.Located{}, err
	case mark.Birth == "":
		return providers.Located{State: providers.FoundAbsent, Evidence: path + " is empty"}, nil
	}
	return providers.Located{State: providers.FoundPresent, ImportID: path, Healthy: true, Evidence: path + " has our mark"}, nil
}

// directoryAt is the path of a directory by its key in the module's for_each: the last two digits of the path.
func (p *Provider) directoryAt(in providers.LocateInput) (path string, ok bool) {
	home := in.Placement.Values[valueDataDir]
	for i := range p.cfg.Directories {
		if path := directoryOf(home, i+1); home != "" && strings.HasSuffix(in.Address, fmt.Sprintf("[%q]", directoryKey(i+1))) {
			return path, true
		}
	}
	return "", false
}
