package providers

import (
	"context"

	"meridian/stacks"
)

// ModuleSourcer says where the module of a region comes from, for a provider whose modules are not ours. It is pure. What it names is
// resolved once per revision, and handed to the other capabilities as ModuleInput.Package.
type ModuleSourcer interface {
	ModuleSource(in ModuleInput) (stacks.ModuleSource, error)
}

// PackageChecker checks a region of a spec against the module that its source led to. It is pure; diagnostics carry Field paths.
type PackageChecker interface {
	CheckPackage(in ModuleInput) []stacks.Diagnostic
}

// InputRefs lists the results of other databases that a region's module call is made from; they come as ModuleInput.Values. It is pure.
type InputRefs interface {
	InputRefs(in ModuleInput) []InputRef
}

// InputRef is one use of a result of another database; Field is where the spec says so.
type InputRef struct {
	Field string
	stacks.OutputRef
}

// SecretOutputs maps the catalog's names of secrets to the sensitive root outputs that they are taken from after each apply, for modules that
// make their secrets themselves. An output may be followed by a path into its value. It is pure.
type SecretOutputs interface {
	SecretOutputs(in ModuleInput) map[string]string
}

// Gate is a gate of readiness of a region's own, asked between the control plane and TCP.
type Gate interface {
	Gate(ctx context.Context, in EndpointInput) (ReadyStatus, error)
}
