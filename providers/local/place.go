package local

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"meridian/providers"
	"meridian/providers/local/machine"
	"meridian/stacks"
)

const (
	valueDataDir = "data_dir"

	// portTries and addressTries bound the search: a machine that has none of these free has no place.
	portTries, addressTries = 64, 8
)

// ServersRoot returns where servers of a Meridian with this data directory live: in it, or, where the servers' user may not pass
// through it (root's servers run as another user), below /var/lib/meridian.
func ServersRoot(dataDir string) (string, error) {
	ok, err := machine.CanReach(dataDir)
	if err != nil {
		return "", err
	}
	if ok {
		return filepath.Join(dataDir, "servers"), nil
	}
	sum := sha256.Sum256([]byte(dataDir))
	return filepath.Join("/var/lib/meridian/servers", hex.EncodeToString(sum[:6])), nil
}

// Place gives a region a loopback address, a port and a directory. They follow from the installation and the stack, so that two
// Meridians on one machine do not want the same; what is taken, or answers, is passed over.
func (p *Provider) Place(ctx context.Context, in providers.PlaceInput) (stacks.Placement, error) {
	e, err := p.engine(in.Engine)
	if err != nil {
		return stacks.Placement{}, err
	}
	ports := e.ports()
	taken := map[string]bool{}
	for _, hostPort := range in.Taken {
		if host, _, err := net.SplitHostPort(hostPort); err == nil {
			taken[host] = true // a region is a host of its own
		}
	}
	for shift := range portTries { // the engine's own ports; others are taken only where something on all addresses holds them
		for try := range addressTries {
			address := p.address(in.Stack, ports[0]+shift, try)
			if taken[address] {
				continue
			}
			busy, err := occupied(ctx, address, ports, shift)
			if err != nil {
				return stacks.Placement{}, err
			}
			if !busy {
				return stacks.Placement{Address: address, Port: ports[0] + shift, Values: map[string]string{valueDataDir: p.home(in.Stack)}}, nil
			}
		}
	}
	return stacks.Placement{}, fmt.Errorf("no free loopback address with a port from %d to %d: stop the server that listens on all addresses: %w",
		ports[0], ports[0]+portTries-1, providers.ErrPermanent)
}

// occupied reports whether one of an engine's ports, all shifted by as much, is held at an address.
func occupied(ctx context.Context, address string, ports []int, shift int) (bool, error) {
	for _, port := range ports {
		if busy, err := machine.Occupied(ctx, address, port+shift); busy || err != nil {
			return busy, err
		}
	}
	return false, nil
}

// address derives 127.X.Y.Z, never in 127.0, where people's own servers are.
func (p *Provider) address(id stacks.StackID, port, try int) string {
	sum := sha256.Sum256([]byte(p.cfg.Installation + "\n" + id.String() + "\n" + strconv.Itoa(port) + "\n" + strconv.Itoa(try)))
	n := binary.BigEndian.Uint32(sum[:])
	return fmt.Sprintf("127.%d.%d.%d", n%254+1, n>>8%254+1, n>>16%254+1)
}

// home is one directory with one name, below the root: labels have no dots, so no two stacks share one.
func (p *Provider) home(id stacks.StackID) string {
	return filepath.Join(p.cfg.Root, id.Namespace+"."+id.Name+"."+id.Incarnation+"."+id.Region)
}
