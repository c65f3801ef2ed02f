package aws

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"meridian/providers"
)

var (
	_ providers.ControlPlane  = (*Provider)(nil)
	_ providers.ApplyProgress = (*Provider)(nil)
	_ providers.Preflighter   = (*Provider)(nil)
)

// eventsBack is how far back the newest event of a database is looked for.
const eventsBack = time.Hour

// Preflight takes the role and looks whether the credentials are of the account that the spec names: nothing is planned in another.
func (p *Provider) Preflight(ctx context.Context, in providers.ModuleInput) error {
	a, err := accessOf(in)
	if err != nil {
		return err
	}
	s, err := p.sessions.of(ctx, a)
	if err != nil {
		return err
	}
	who, err := s.sts.GetCallerIdentity(ctx, nil)
	if err != nil {
		return p.explain(a, "who the credentials are", err)
	}
	if have := sdk.ToString(who.Account); have != a.account {
		p.sessions.drop(a)
		return fmt.Errorf("region %s is in AWS account %s, and the credentials are of account %s (%s): give others, or mend settings.account: %w",
			in.Region.Name, a.account, have, sdk.ToString(who.Arn), providers.ErrPermanent)
	}
	return nil
}

// ControlPlane says what RDS says of a region's database, and its newest event.
func (p *Provider) ControlPlane(ctx context.Context, in providers.ModuleInput) (providers.ReadyStatus, error) {
	a, err := accessOf(in)
	if err != nil {
		return providers.ReadyStatus{}, err
	}
	s, err := p.sessions.of(ctx, a)
	if err != nil {
		return providers.ReadyStatus{}, err
	}
	if hasAurora(in.Region) {
		return p.auroraStatus(ctx, s, in)
	}
	name := instanceName(in)
	found, err := s.instance(ctx, name)
	if err != nil {
		return providers.ReadyStatus{}, p.explain(a, "the status of "+name, err)
	}
	if found == nil {
		return providers.ReadyStatus{State: providers.StatePending, Message: fmt.Sprintf("AWS shows no database %s in %s yet", name, a.location)}, nil
	}
	st := statusOf(*found)
	if st.State != providers.StateReady {
		if said := p.newestEvent(ctx, s, types.SourceTypeDbInstance, name); said != "" {
			st.Message += "; " + said
		}
	}
	return st, nil
}

// ApplyProgress is what RDS says of the database while terraform works on it: its status, how far it is, and the newest event.
func (p *Provider) ApplyProgress(ctx context.Context, in providers.ModuleInput) (string, error) {
	a, err := accessOf(in)
	if err != nil {
		return "", err
	}
	s, err := p.sessions.of(ctx, a)
	if err != nil {
		return "", err
	}
	if hasAurora(in.Region) {
		return p.auroraProgress(ctx, s, in)
	}
	name := instanceName(in)
	found, err := s.instance(ctx, name)
	if err != nil || found == nil {
		return "", p.explain(a, "the status of "+name, err)
	}
	said := isWords(*found)
	if event := p.newestEvent(ctx, s, types.SourceTypeDbInstance, name); event != "" {
		said += "; " + event
	}
	return said, nil
}

// isWords says an instance's status, and how far AWS is with it.
func isWords(i types.DBInstance) string {
	said := sdk.ToString(i.DBInstanceIdentifier) + " is " + sdk.ToString(i.DBInstanceStatus)
	if n := percent(i.PercentProgress); n > 0 {
		said += fmt.Sprintf(" (%d %%)", n)
	}
	return said
}

// statusOf says what an instance's status means. It is pure.
func statusOf(i types.DBInstance) providers.ReadyStatus {
	status := sdk.ToString(i.DBInstanceStatus)
	m := means(instanceStatuses, status)
	st := providers.ReadyStatus{State: m.state, Raw: status}
	st.Percent = percent(i.PercentProgress)
	parts := []string{isWords(i)}
	if m.why != "" {
		parts = append(parts, m.why)
	}
	if waits := pendingChanges(i); waits != "" {
		parts = append(parts, waits)
	}
	for _, info := range i.StatusInfos { // of a replica: "replication", with its reason where it stands still
		if info.Normal != nil && !*info.Normal {
			parts = append(parts, fmt.Sprintf("its %s is %s: %s", sdk.ToString(info.StatusType), sdk.ToString(info.Status), sdk.ToString(info.Message)))
			if status == "available" && sdk.ToString(info.Status) != "terminated" {
				st.State = providers.StatePending
			}
			if sdk.ToString(info.Status) == "terminated" {
				st.State = providers.StateFailed
			}
		}
	}
	st.Message = strings.Join(parts, ": ")
	return st
}

// pendingChanges names what waits for a restart or the maintenance window. A password is never told.
func pendingChanges(i types.DBInstance) string {
	var waits []string
	if w := i.PendingModifiedValues; w != nil {
		if w.DBInstanceClass != nil {
			waits = append(waits, "class "+*w.DBInstanceClass)
		}
		if w.EngineVersion != nil {
			waits = append(waits, "version "+*w.EngineVersion)
		}
		if w.AllocatedStorage != nil {
			waits = append(waits, fmt.Sprintf("%d GiB", *w.AllocatedStorage))
		}
		if w.MultiAZ != nil {
			waits = append(waits, fmt.Sprintf("multi-AZ %t", *w.MultiAZ))
		}
		if w.CACertificateIdentifier != nil {
			waits = append(waits, "CA "+*w.CACertificateIdentifier)
		}
	}
	for _, g := range i.DBParameterGroups {
		if sdk.ToString(g.ParameterApplyStatus) == "pending-reboot" {
			waits = append(waits, "parameters of "+sdk.ToString(g.DBParameterGroupName))
		}
	}
	if len(waits) == 0 {
		return ""
	}
	return "waiting for a restart or the maintenance window: " + strings.Join(waits, ", ")
}

// percent reads the progress that RDS gives as a text; 0 where it gives none.
func percent(text *string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(sdk.ToString(text)), "%"))
	if err != nil || n < 0 || n > 100 {
		return 0
	}
	return n
}

// instance looks at a database by its name; nil where there is none.
func (s *session) instance(ctx context.Context, name string) (*types.DBInstance, error) {
	out, err := s.rds.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &name})
	if isCode(err, "DBInstanceNotFound", "DBInstanceNotFoundFault") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(out.DBInstances) == 0 {
		return nil, nil
	}
	return &out.DBInstances[0], nil
}

// newestEvent is what RDS said last of a database, for people; "" where it says nothing, or cannot be asked: it is only an addition.
func (p *Provider) newestEvent(ctx context.Context, s *session, typ types.SourceType, name string) string {
	minutes := int32(eventsBack / time.Minute)
	out, err := s.rds.DescribeEvents(ctx, &rds.DescribeEventsInput{SourceIdentifier: &name, SourceType: typ, Duration: &minutes})
	if err != nil {
		return ""
	}
	var newest types.Event
	for _, e := range out.Events {
		if e.Date != nil && (newest.Date == nil || !e.Date.Before(*newest.Date)) {
			newest = e
		}
	}
	if newest.Date == nil {
		return ""
	}
	return fmt.Sprintf("AWS at %s UTC: %s", newest.Date.UTC().Format("15:04:05"), strings.TrimSpace(sdk.ToString(newest.Message)))
}
