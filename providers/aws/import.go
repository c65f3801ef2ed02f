package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"meridian/providers"
	"meridian/stacks"
)

var _ providers.Importer = (*Provider)(nil)

// valueAdminUser is the value of a placement that names the administrator of a database that was there before Meridian.
const valueAdminUser = "admin_user"

// What a takeover of an instance may change: what only Terraform knows (how changes and a deletion go), and tags, with our mark. It never
// sets a password, nor who keeps it.
var (
	importMay = []string{
		"allow_major_version_upgrade", "apply_immediately", "delete_automated_backups", "final_snapshot_identifier", "skip_final_snapshot", "tags", "tags_all", "timeouts",
	}
	importNever = []string{"manage_master_user_password", "master_user_secret_kms_key_id", "password", "password_wo", "password_wo_version"}
)

// Import finds a running instance by its identifier, or in somebody's state. It keeps its name, its administrator and its password.
func (p *Provider) Import(ctx context.Context, in providers.ImportInput) (providers.Imported, error) {
	none := providers.Imported{}
	cluster := hasAurora(in.Region)
	find := importName
	if cluster {
		find = importClusterName
	}
	name, managed, err := find(in)
	if err != nil {
		return none, err
	}
	if err := p.Preflight(ctx, in.ModuleInput); err != nil {
		return none, err
	}
	a, err := accessOf(in.ModuleInput)
	if err != nil {
		return none, err
	}
	s, err := p.sessions.of(ctx, a)
	if err != nil {
		return none, err
	}
	if cluster {
		return p.importCluster(ctx, s, in, name, managed)
	}
	i, err := s.instance(ctx, name)
	if err != nil {
		return none, p.explain(a, "looking for "+name, err)
	}
	refuse := func(format string, args ...any) (providers.Imported, error) {
		return none, fmt.Errorf("database %s in %s: "+format+": %w", append(append([]any{name, a.location}, args...), providers.ErrPermanent)...)
	}
	if i == nil {
		return refuse("there is none in account %s", a.account)
	}
	st := statusOf(*i)
	owner := tagOf(i.TagList, TagOwner)
	switch {
	case owner != "" && owner != p.owner(in.Stack):
		return none, fmt.Errorf("database %s in %s is marked as %s: take it out of that Meridian first: %w", name, a.location, owner, providers.ErrForeign)
	case st.State != providers.StateReady:
		return refuse("it is not ready: %s", st.Message)
	case sdk.ToString(i.Engine) != in.Database.Spec.Engine.Name:
		return refuse("its engine is %s, not %s", sdk.ToString(i.Engine), in.Database.Spec.Engine.Name)
	case i.DBClusterIdentifier != nil:
		return refuse("it belongs to the cluster %s: import that, with aurora: {} in the region's settings", *i.DBClusterIdentifier)
	case i.ReadReplicaSourceDBInstanceIdentifier != nil:
		return refuse("it is a replica of %s: import that, and add a replica afterwards", *i.ReadReplicaSourceDBInstanceIdentifier)
	case i.MasterUserSecret != nil:
		return refuse("AWS manages its master password: switch that off, with a password of yours, then import it")
	case i.Endpoint == nil:
		return refuse("it has no endpoint yet")
	}
	placement := stacks.Placement{
		Values:   map[string]string{valueIdentifier: name, valueAdminUser: sdk.ToString(i.MasterUsername)},
		Takeover: &stacks.Takeover{Objects: []stacks.Import{{Address: instanceAddress, ID: name}}, May: importMay, Never: importNever},
	}
	in.Placement = placement
	endpoint, err := p.Endpoint(providers.EndpointInput{ModuleInput: in.ModuleInput, Outputs: map[string]any{
		"host": sdk.ToString(i.Endpoint.Address), "admin_user": sdk.ToString(i.MasterUsername), "port": int64(sdk.ToInt32(i.Endpoint.Port)),
	}})
	if err != nil {
		return none, err
	}
	return providers.Imported{Placement: placement, Endpoint: endpoint, Managed: managed, Evidence: st.Message}, nil
}

// importName is the identifier of what is to be imported, and its address in the state that names it.
func importName(in providers.ImportInput) (name, managed string, err error) {
	return nameIn(in, instanceType, "identifier")
}

// nameIn is the identifier of what is to be imported: the one that was given, or an attribute of the state's one object of a type.
func nameIn(in providers.ImportInput, typ, attribute string) (name, managed string, err error) {
	if in.ID != "" {
		return strings.ToLower(in.ID), "", nil
	}
	for _, o := range in.Objects {
		if o.Type != typ {
			continue
		}
		if name != "" {
			return "", "", fmt.Errorf("the state has more than one %s: name one by its identifier: %w", typ, providers.ErrPermanent)
		}
		managed = o.Address
		if err := json.Unmarshal([]byte(o.Attributes[attribute]), &name); err != nil || name == "" {
			return "", "", fmt.Errorf("%s has no %s: %w", o.Address, attribute, providers.ErrPermanent)
		}
	}
	if name == "" {
		return "", "", fmt.Errorf("the state has no %s: %w", typ, providers.ErrPermanent)
	}
	return name, managed, nil
}

// asImported makes a region's inputs say what was there: its name, its administrator, and no word on the password, until the spec asks for
// a new one, whose secret it returns.
func asImported(inputs map[string]any, in providers.ModuleInput) map[string]string {
	inputs["identifier"], inputs["admin_user"] = instanceName(in), in.Placement.Values[valueAdminUser]
	if in.Database.PasswordVersion() > 1 {
		return map[string]string{"admin_password": in.Database.AdminSecret(in.Region.Name)}
	}
	inputs["admin_password_version"] = nil
	return nil
}
