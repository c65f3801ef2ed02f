package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"meridian/providers"
	"meridian/providers/local/server"
	"meridian/stacks"
)

var _ providers.Importer = (*Provider)(nil)

// What the placement of a server that was taken over says of it, beside its directory.
const (
	valueName            = "name"
	valueOwner           = "owner"
	valuePasswordVersion = "password_version"
)

// passwordAttributes are never changed by a takeover.
var passwordAttributes = []string{"admin_password_wo", "admin_password_wo_version"}

// Import finds a server that somebody else's Terraform made with our plugin: by its directory, by its address:port while it runs, or in
// their state. It has to run, and keeps its name, its address, its mark and its password.
func (p *Provider) Import(ctx context.Context, in providers.ImportInput) (providers.Imported, error) {
	home, managed, err := importHome(in)
	if err != nil {
		return providers.Imported{}, err
	}
	spec, err := server.MarkedSpec(home)
	if errors.Is(err, fs.ErrNotExist) {
		return providers.Imported{}, fmt.Errorf("there is no server in %s: %w", home, providers.ErrPermanent)
	}
	if err != nil {
		return providers.Imported{}, err
	}
	if _, id, found := strings.Cut(spec.Owner, "/"); found && spec.Owner != p.owner(in.Stack) {
		if stack, err := stacks.ParseStackID(id); err == nil {
			return providers.Imported{}, fmt.Errorf("the server in %s is that of region %s of %s/%s of a Meridian: take it out of there first: %w",
				home, stack.Region, stack.Namespace, stack.Name, providers.ErrForeign)
		}
	}
	sight, err := server.Look(ctx, home, spec.Owner)
	if err != nil {
		return providers.Imported{}, err
	}
	if sight.State != server.StateRunning {
		return providers.Imported{}, fmt.Errorf("the server in %s is %s: start it, then import it: %w", home, sight.State, providers.ErrPermanent)
	}
	if spec.PasswordVersion == 0 {
		return providers.Imported{}, fmt.Errorf("the server in %s was never finished: apply the Terraform that makes it first: %w", home, providers.ErrPermanent)
	}
	return providers.Imported{
		Placement: stacks.Placement{
			Address: spec.Address, Port: spec.Port,
			Values: map[string]string{
				valueDataDir: home, valueName: spec.Name, valueOwner: spec.Owner, valuePasswordVersion: strconv.FormatInt(spec.PasswordVersion, 10),
			},
			Takeover: &stacks.Takeover{Objects: []stacks.Import{{Address: resourceAddress, ID: home}}, May: []string{"deletion_protection"}, Never: passwordAttributes},
		},
		Endpoint: stacks.Endpoint{
			Host: spec.Address, Port: spec.Port, User: server.AdminUser, Secret: in.Database.AdminSecret(in.Region.Name), Database: "postgres", TLSMode: "disable",
		},
		Managed: managed, Evidence: fmt.Sprintf("PostgreSQL %s at %s", spec.EngineVersion, spec.HostPort()),
	}, nil
}

// importHome is the directory of what is to be imported, and its address in the state that names it.
func importHome(in providers.ImportInput) (home, managed string, err error) {
	if in.ID != "" {
		if filepath.IsAbs(in.ID) {
			return filepath.Clean(in.ID), "", nil
		}
		at, err := netip.ParseAddrPort(in.ID)
		if err != nil {
			return "", "", fmt.Errorf("%q is neither a server's directory (an absolute path) nor its address:port: %w", in.ID, providers.ErrPermanent)
		}
		home, err = server.HomeAt(at.Addr().String(), int(at.Port()))
		return home, "", err
	}
	for _, o := range in.Objects {
		if o.Type != resourceType {
			continue
		}
		if home != "" {
			return "", "", fmt.Errorf("the state has more than one %s: name one by its directory: %w", resourceType, providers.ErrPermanent)
		}
		managed = o.Address
		if err := json.Unmarshal([]byte(o.Attributes[valueDataDir]), &home); err != nil || home == "" {
			return "", "", fmt.Errorf("%s has no %s: %w", o.Address, valueDataDir, providers.ErrPermanent)
		}
	}
	if home == "" {
		return "", "", fmt.Errorf("the state has no %s: %w", resourceType, providers.ErrPermanent)
	}
	return filepath.Clean(home), managed, nil
}

// passwordVersion counts the changes of a server's password: one that was taken over has the number that it had, so that it is not set, and
// those of the spec are counted on from there.
func passwordVersion(in providers.ModuleInput) int64 {
	if n, err := strconv.ParseInt(in.Placement.Values[valuePasswordVersion], 10, 64); err == nil {
		return n + in.Database.PasswordVersion() - 1
	}
	return in.Database.PasswordVersion()
}
