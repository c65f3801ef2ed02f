package local

import (
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

var _ providers.SpecFields = (*Provider)(nil)

// SpecField knows the engine's parameters and version: all else is the region's place.
func (*Provider) SpecField(_ stacks.Database, _ stacks.Region, item stacks.DriftItem) string {
	if item.Subject != resourceAddress && item.Subject != nodeAddress {
		return ""
	}
	if name, ok := strings.CutPrefix(item.Path, "settings."); ok {
		return "spec.engine.parameters." + name
	}
	if item.Path == "engine_version" {
		return "spec.engine.version"
	}
	return ""
}
