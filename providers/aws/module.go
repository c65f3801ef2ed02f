package aws

import (
	"fmt"
	"maps"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

const (
	module = "aws-rds"
	// PluginVersion is the version of the provider hashicorp/aws that everything here was tried with.
	PluginVersion = "5.100.0"
)

// SecretNames names the administrator's password: a physical replica has its source's.
func (*Provider) SecretNames(in providers.ModuleInput) []string {
	return []string{in.Database.AdminSecret(sourceOf(in).Name)}
}

// sourceOf is the region whose data and users a region has: its own, or that of which it is a physical replica, over all steps.
func sourceOf(in providers.ModuleInput) stacks.Region {
	at := in.Region
	for range in.Database.Spec.Regions {
		source, is := in.Database.PhysicalSource(at.Name)
		if !is {
			break
		}
		at = source
	}
	return at
}

// ModuleCall makes a region of the module aws-rds, or of aws-aurora-postgres where its settings say so.
func (p *Provider) ModuleCall(in providers.ModuleInput) (stacks.ModuleCall, error) {
	s, ds := settingsIn(in.Database, in.Region, "settings")
	if stacks.HasErrors(ds) {
		return stacks.ModuleCall{}, fmt.Errorf("region %s: %s: %w", in.Region.Name, ds[0].Summary, providers.ErrPermanent)
	}
	e, ok := engineOf(in.Database)
	if !ok || s.Aurora != nil && !e.aurora {
		return stacks.ModuleCall{}, fmt.Errorf("region %s: provider aws does not run %q so: %w", in.Region.Name, in.Database.Spec.Engine.Name, providers.ErrPermanent)
	}
	if s.Aurora != nil {
		return p.auroraCall(in, s), nil
	}
	call := stacks.ModuleCall{
		Module: module, Inputs: p.instanceInputs(in, s), Outputs: []string{"host", "port", "admin_user", "arn", "server_version"},
		Providers: []stacks.ProviderConfig{plugin(in.Region.Location, s)}, DataBearing: []string{instanceType},
	}
	if in.Placement.Takeover != nil {
		call.Secrets = asImported(call.Inputs, in)
		return call, nil
	}
	source, replica := in.Database.PhysicalSource(in.Region.Name)
	if !replica {
		call.Secrets = map[string]string{"admin_password": in.Database.AdminSecret(in.Region.Name)}
		return call, nil
	}
	of, ds := readSettings(source, "settings")
	if source.Provider != Name || stacks.HasErrors(ds) {
		return stacks.ModuleCall{}, fmt.Errorf("region %s: %s is no region of provider aws that it could be a replica of: %w", in.Region.Name, source.Name, providers.ErrPermanent)
	}
	id := in.Stack
	id.Region = source.Name
	call.Inputs["source_arn"] = instanceARN(source.Location, of.Account, id)
	delete(call.Inputs, "admin_user")
	delete(call.Inputs, "admin_password_version")
	return call, nil
}

// LiftProtection is the same region without deletion protection. What a deletion does about a final snapshot, terraform reads from the state.
func (p *Provider) LiftProtection(in providers.ModuleInput) (providers.Lift, error) {
	call, err := p.ModuleCall(in)
	if err != nil {
		return providers.Lift{}, err
	}
	if call.Module == auroraModule {
		return auroraLift(call), nil
	}
	call.Inputs["deletion_protection"] = false
	return providers.Lift{Call: call, Types: []string{instanceType}, Attributes: []string{"deletion_protection", "final_snapshot_identifier", "skip_final_snapshot"}}, nil
}

// instanceInputs are the arguments of the module aws-rds for a database of its own.
func (p *Provider) instanceInputs(in providers.ModuleInput, s Settings) map[string]any {
	storage := map[string]any{"gib": s.Storage.GiB, "max_gib": s.Storage.MaxGiB, "type": s.Storage.Type}
	for name, n := range map[string]int64{"iops": s.Storage.IOPS, "throughput": s.Storage.Throughput} {
		if n > 0 {
			storage[name] = n
		}
	}
	if s.Storage.KMSKey != "" {
		storage["kms_key"] = s.Storage.KMSKey
	}
	inputs := p.inputs(in, s)
	inputs["storage"], inputs["multi_az"] = storage, *s.MultiAZ
	inputs["engine"], inputs["family"] = in.Database.Spec.Engine.Name, familyOf(in.Database)
	return inputs
}

// inputs are the arguments that the modules of an instance and of a cluster have both.
func (p *Provider) inputs(in providers.ModuleInput, s Settings) map[string]any {
	network := map[string]any{"subnet_group": s.Network.SubnetGroup, "public": s.Public}
	if s.Network.VPC != "" {
		network["vpc"], network["allow"] = s.Network.VPC, s.Network.Allow
	} else {
		network["security_groups"] = s.Network.SecurityGroups
	}
	e, _ := engineOf(in.Database)
	now, restart := parametersOf(e, in)
	inputs := map[string]any{
		"identifier": identifier(in.Stack), "owner": p.owner(in.Stack), "tags": s.Tags,
		"engine_version": in.Database.Spec.Engine.Version, "parameters": now, "static_parameters": restart,
		"instance_class": s.Class, "network": network, "port": e.port,
		"backup": map[string]any{"retention": *s.Backup.Retention, "window": s.Backup.Window},
		"maintenance": map[string]any{
			"window": s.Maintenance.Window, "apply_immediately": s.Maintenance.ApplyImmediately, "minor_upgrades": s.Maintenance.MinorUpgrades,
		},
		"performance_insights": *s.PerformanceInsights, "log_exports": logExports(e, s),
		"deletion_protection": in.Database.Spec.Deletion.Protected(), "final_snapshot": *s.FinalSnapshot,
		"admin_user": adminUser, "admin_password_version": in.Database.PasswordVersion(),
	}
	if s.ParameterGroup != "" {
		inputs["parameter_group"] = s.ParameterGroup
	}
	if s.CA != "" {
		inputs["ca"] = s.CA
	}
	return inputs
}

// logExports are the logs that go to CloudWatch: those of the settings, else the engine's usual ones.
func logExports(e engine, s Settings) []string {
	if s.LogExports != nil {
		return s.LogExports
	}
	return e.logged
}

// adminUser is the administrator's name: the same as with every provider.
const adminUser = "meridian"

// plugin is the provider hashicorp/aws as a region is reached by it. Credentials of another account are refused at every plan.
func plugin(location string, s Settings) stacks.ProviderConfig {
	p := stacks.ProviderConfig{
		ProviderRequirement: stacks.ProviderRequirement{LocalName: "aws", Source: "hashicorp/aws", Version: PluginVersion},
		Config:              map[string]any{"region": location, "allowed_account_ids": []string{s.Account}},
	}
	if r := s.AssumeRole; r != nil {
		role := map[string]any{"role_arn": r.ARN, "session_name": "meridian", "duration": r.SessionLength.String()}
		if r.ExternalID != "" {
			role["external_id"] = r.ExternalID
		}
		p.Blocks = map[string]map[string]any{"assume_role": role}
	}
	return p
}

// parametersOf are the spec's parameters and what Meridian needs, by when they take effect: encrypted connections alone, and what a logical link
// needs where one begins or ends.
func parametersOf(e engine, in providers.ModuleInput) (now, restart map[string]string) {
	all := map[string]string{e.tls: "1"}
	for _, l := range in.Database.Spec.Replication.Links {
		if e.logical != "" && l.Mode == stacks.LinkLogical && !l.Drop && (l.From == in.Region.Name || l.To == in.Region.Name) {
			all[e.logical] = "1"
		}
	}
	maps.Copy(all, in.Database.Spec.Engine.Parameters)
	now, restart = map[string]string{}, map[string]string{}
	for name, value := range all {
		name = strings.ToLower(name)
		if e.atRestart(name) {
			restart[name] = value
		} else {
			now[name] = value
		}
	}
	return now, restart
}

// Endpoint reads where the region answers from the module's outputs.
func (p *Provider) Endpoint(in providers.EndpointInput) (stacks.Endpoint, error) {
	host, ok1 := in.Outputs["host"].(string)
	user, ok2 := in.Outputs["admin_user"].(string)
	port, ok3 := providers.WholeNumber(in.Outputs["port"])
	if !ok1 || !ok2 || !ok3 || host == "" {
		return stacks.Endpoint{}, fmt.Errorf("region %s: its state has no endpoint; apply again: %w", in.Region.Name, providers.ErrPermanent)
	}
	e := stacks.Endpoint{Host: host, Port: port, User: user, Secret: in.Database.AdminSecret(sourceOf(in.ModuleInput).Name), TLSMode: "require"}
	if s, _ := readSettings(in.Region, "settings"); s.TLS.CAFile != "" {
		e.TLSMode, e.CAFile = "verify-full", s.TLS.CAFile
	}
	if p.cfg.Reach != nil {
		return p.cfg.Reach(in.ModuleInput, e)
	}
	return e, nil
}
