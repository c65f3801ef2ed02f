package module

import (
	"context"
	"fmt"
	"strings"

	"meridian/providers"
)

// stateOnly start the types of resources that are nowhere but in a state: what was not recorded does not exist.
var stateOnly = []string{"random_", "time_", "tls_"}

// Locate proves little: nobody but the module knows what it makes and under which names. A person is asked.
func (*Provider) Locate(_ context.Context, in providers.LocateInput) (providers.Located, error) {
	for _, prefix := range stateOnly {
		if strings.HasPrefix(in.Type, prefix) {
			return providers.Located{State: providers.FoundAbsent, Evidence: "a " + in.Type + " is nowhere but in the state, and it is not in there"}, nil
		}
	}
	source := "of another's module"
	if in.Package != nil {
		source = "of the module " + in.Package.Source
	}
	return providers.Located{State: providers.FoundUnknown, Evidence: fmt.Sprintf(
		"%s is a %s %s, and only who knows that module can say by what name it would be found; its inputs are in the spec, what was made before it in the run's log",
		in.Address, in.Type, source)}, nil
}
