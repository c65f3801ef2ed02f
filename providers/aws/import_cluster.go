package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/providers"
	"meridian/stacks"
)

// Values of a placement that say, by its number, the name of an imported cluster's instance, and in which order it takes over.
const (
	valueMember = "instance/"
	valueTier   = "tier/"
)

// What a takeover of a cluster may change beside what that of an instance may: what only Terraform knows (force_destroy), and what is off and is
// written down as that. It never sets a password, nor who keeps it.
var (
	importClusterMay   = append([]string{"enable_global_write_forwarding", "enable_local_write_forwarding", "force_destroy"}, importMay...)
	importClusterNever = []string{"manage_master_user_password", "master_password", "master_password_wo", "master_password_wo_version", "master_user_secret_kms_key_id"}
)

// importClusterName is the identifier of the cluster that is to be imported, and its address in the state that names it.
func importClusterName(in providers.ImportInput) (name, managed string, err error) {
	return nameIn(in, clusterType, "cluster_identifier")
}

// importCluster finds a running Aurora cluster and its instances. They keep their names, the order in which they take over, their
// administrator and its password.
func (p *Provider) importCluster(ctx context.Context, s *session, in providers.ImportInput, name, managed string) (providers.Imported, error) {
	none := providers.Imported{}
	refuse := func(format string, args ...any) (providers.Imported, error) {
		return none, fmt.Errorf("cluster %s in %s: "+format+": %w", append(append([]any{name, s.location}, args...), providers.ErrPermanent)...)
	}
	c, err := s.cluster(ctx, name)
	if err != nil {
		return none, p.explain(s.access, "looking for cluster "+name, err)
	}
	if c == nil {
		return refuse("there is none in account %s", s.account)
	}
	instances, err := s.instancesOf(ctx, name)
	if err != nil {
		return none, p.explain(s.access, "the instances of cluster "+name, err)
	}
	member, _, _, err := s.memberOf(ctx, sdk.ToString(c.DBClusterArn))
	if err != nil {
		return none, p.explain(s.access, "the global cluster of "+name, err)
	}
	settings, _ := readSettings(in.Region, "settings") // accessOf has read them
	st := statusOfCluster(*c, instances, 0)
	owner := tagOf(c.TagList, TagOwner)
	switch {
	case owner != "" && owner != p.owner(in.Stack):
		return none, fmt.Errorf("cluster %s in %s is marked as %s: take it out of that Meridian first: %w", name, s.location, owner, providers.ErrForeign)
	case st.State != providers.StateReady:
		return refuse("it is not ready: %s", st.Message)
	case sdk.ToString(c.Engine) != auroraEngine:
		return refuse("its engine is %s, not %s", sdk.ToString(c.Engine), auroraEngine)
	case sdk.ToString(c.EngineMode) == "serverless":
		return refuse("it is of Serverless v1, which only knows capacities: move it to Serverless v2 first")
	case member != "" || in.Database.Spec.Topology == stacks.TopologyGlobal:
		return refuse("a member of a global cluster (%s) cannot be imported: take it out of that first", cmp.Or(member, "spec.topology"))
	case sdk.ToString(c.ReplicationSourceIdentifier) != "":
		return refuse("it is a replica of %s: import that", *c.ReplicationSourceIdentifier)
	case forwards(*c):
		return refuse("its readers forward writes, which its stack would switch off: do that first, if you can do without")
	case c.MasterUserSecret != nil:
		return refuse("AWS manages its master password: switch that off, with a password of yours, then import it")
	case c.Endpoint == nil:
		return refuse("it has no endpoint yet")
	case int64(len(instances)) != settings.Aurora.Instances:
		return refuse("it has %d instances and the spec says %d: write aurora: {instances: %d}", len(instances), settings.Aurora.Instances, len(instances))
	}
	placement := stacks.Placement{
		Values:   map[string]string{valueIdentifier: name, valueAdminUser: sdk.ToString(c.MasterUsername)},
		Takeover: &stacks.Takeover{Objects: []stacks.Import{{Address: clusterAddress, ID: name}}, May: importClusterMay, Never: importClusterNever},
	}
	for n, i := range inOrder(*c, instances) {
		number, id := strconv.Itoa(n+1), sdk.ToString(i.DBInstanceIdentifier)
		placement.Values[valueMember+number], placement.Values[valueTier+number] = id, strconv.Itoa(int(sdk.ToInt32(i.PromotionTier)))
		placement.Takeover.Objects = append(placement.Takeover.Objects, stacks.Import{Address: memberAddress(number), ID: id})
	}
	in.Placement = placement
	endpoint, err := p.Endpoint(providers.EndpointInput{ModuleInput: in.ModuleInput, Outputs: map[string]any{
		"host": sdk.ToString(c.Endpoint), "admin_user": sdk.ToString(c.MasterUsername), "port": int64(sdk.ToInt32(c.Port)),
	}})
	if err != nil {
		return none, err
	}
	return providers.Imported{Placement: placement, Endpoint: endpoint, Managed: managed, Evidence: st.Message}, nil
}

// forwards reports whether the readers of a cluster, or the cluster as a member of a global one, take writes and forward them.
func forwards(c types.DBCluster) bool {
	return sdk.ToBool(c.GlobalWriteForwardingRequested) || c.LocalWriteForwardingStatus != "" && c.LocalWriteForwardingStatus != types.LocalWriteForwardingStatusDisabled
}

// inOrder are the instances of a cluster as they are numbered: the one that writes first, then as they take over.
func inOrder(c types.DBCluster, instances []types.DBInstance) []types.DBInstance {
	writes := func(i types.DBInstance) int {
		if slices.ContainsFunc(c.DBClusterMembers, func(m types.DBClusterMember) bool {
			return sdk.ToBool(m.IsClusterWriter) && sdk.ToString(m.DBInstanceIdentifier) == sdk.ToString(i.DBInstanceIdentifier)
		}) {
			return 0
		}
		return 1
	}
	return slices.SortedFunc(slices.Values(instances), func(a, b types.DBInstance) int {
		return cmp.Or(cmp.Compare(writes(a), writes(b)), cmp.Compare(sdk.ToInt32(a.PromotionTier), sdk.ToInt32(b.PromotionTier)),
			strings.Compare(sdk.ToString(a.DBInstanceIdentifier), sdk.ToString(b.DBInstanceIdentifier)))
	})
}

// membersOf are the instances of an imported cluster as its module takes them.
func membersOf(in providers.ModuleInput) map[string]any {
	out := map[string]any{}
	for name, id := range in.Placement.Values {
		number, is := strings.CutPrefix(name, valueMember)
		if tier, err := strconv.ParseInt(in.Placement.Values[valueTier+number], 10, 64); is && err == nil {
			out[number] = map[string]any{"identifier": id, "promotion_tier": tier}
		}
	}
	return out
}
