package activities

import (
	"context"
	"fmt"
	"time"

	"meridian/providers"
)

// cloudLagWait bounds the question to a cloud about a link's lag: it is only an addition.
const cloudLagWait = 5 * time.Second

// cloudLag says in words what the cloud of a link's target itself measures of its lag; "" where it measures nothing, or does not say in time.
func (a *Activities) cloudLag(ctx context.Context, j linkJob) string {
	to, ok := j.spec.Region(j.row.Spec.To)
	if !ok {
		return ""
	}
	provider, err := a.Registry.Provider(to.Provider)
	if err != nil {
		return ""
	}
	meter, err := providers.As[providers.LagMeter](provider)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, cloudLagWait)
	defer cancel()
	in, err := a.moduleInput(ctx, work{run: j.run, spec: j.spec, region: to, stack: stackID(j.run, to.Name), provider: provider})
	if err != nil {
		return ""
	}
	lag, measured, err := meter.ReplicationLag(ctx, in)
	if err != nil || !measured {
		return ""
	}
	return fmt.Sprintf("%s measures a lag of %s", provider.Name(), lag.Round(time.Millisecond))
}
