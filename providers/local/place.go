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

	// firstPort is PostgreSQL's own; another is taken only where a server on all addresses holds it.
	firstPort = 5432
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
	taken := map[string]bool{}
	for _, hostPort := range in.Taken {
		if host, _, err := net.SplitHostPort(hostPort); err == nil {
			taken[host] = true // a region is a host of its own
		}
	}
	for port := firstPort; port < firstPort+portTries; port++ {
		for try := range addressTries {
			address := p.address(in.Stack, port, try)
			if taken[address] {
				continue
			}
			busy, err := machine.Occupied(ctx, address, port)
			if err != nil {
				return stacks.Placement{}, err
			}
			if !busy {
				return stacks.Placement{Address: address, Port: port, Values: map[string]string{valueDataDir: p.home(in.Stack)}}, nil
			}
		}
	}
	return stacks.Placement{}, fmt.Errorf("no free loopback address with a port from %d to %d: stop the server that listens on all addresses: %w",
		firstPort, firstPort+portTries-1, providers.ErrPermanent)
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
