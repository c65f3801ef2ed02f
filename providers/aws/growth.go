package aws

import (
	"meridian/providers"
	"meridian/stacks"
)

var _ providers.SelfGrower = (*Provider)(nil)

// GrowsByItself is the storage of an RDS instance, up to storage.maxGib. That of an Aurora cluster has no size, and a replica's size is in no
// configuration: it begins as its source's.
// Source: Amazon RDS User Guide, "Managing capacity automatically with Amazon RDS storage autoscaling".
func (*Provider) GrowsByItself(db stacks.Database, region stacks.Region) []stacks.Growth {
	at := regionField(db, region.Name) + ".settings"
	s, ds := settingsIn(db, region, at)
	if stacks.HasErrors(ds) || s.Aurora != nil {
		return nil
	}
	g := stacks.Growth{Type: instanceType, Path: "allocated_storage", Field: at + ".storage.gib", Unit: "GiB"}
	if s.Storage.MaxGiB > s.Storage.GiB {
		g.Most = float64(s.Storage.MaxGiB)
	}
	return []stacks.Growth{g}
}
