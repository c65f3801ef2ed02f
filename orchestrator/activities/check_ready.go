package activities

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"

	"meridian/providers"
	"meridian/stacks"
)

// dialTimeout bounds the second gate's one look: a place that takes longer to accept is asked again.
const dialTimeout = 3 * time.Second

// CheckReady takes one look at the three gates, in order: the cloud's control plane says so, TCP accepts, a query answers.
// Not ready yet is a retryable error: the retry policy is the poll loop.
func (a *Activities) CheckReady(ctx context.Context, in RegionInput) (RegionResult, error) {
	if late, err := a.late(ctx, in.Run, stacks.PhaseApplying); late || err != nil {
		return RegionResult{}, err
	}
	w, err := a.load(ctx, in)
	if err != nil {
		return RegionResult{}, err
	}
	switch w.row.Phase {
	case stacks.RegionFailed, stacks.RegionCancelled, stacks.RegionRemoved:
		return RegionResult{}, nil
	}
	if w.run.Cancel {
		return RegionResult{}, a.setRegion(ctx, w, stacks.RegionCancelled, "cancelled while it was not ready yet; what terraform made is kept")
	}
	module, err := a.moduleInput(ctx, w)
	if err != nil {
		return RegionResult{}, err
	}
	if cloud, err := providers.As[providers.ControlPlane](w.provider); err == nil {
		st, err := cloud.ControlPlane(ctx, module)
		switch {
		case err != nil:
			return RegionResult{}, fmt.Errorf("control plane of %s: %w", w.stack, err)
		case st.State == providers.StateFailed:
			return RegionResult{}, a.setRegion(ctx, w, stacks.RegionFailed, st.Message)
		case st.State != providers.StateReady:
			return RegionResult{}, a.pending(ctx, w, st.Message)
		}
	}
	switch st, err := a.gate(ctx, w, module); {
	case err != nil:
		return RegionResult{}, fmt.Errorf("gate of %s: %w", w.stack, err)
	case st.State == providers.StateFailed:
		return RegionResult{}, a.setRegion(ctx, w, stacks.RegionFailed, st.Message)
	case st.State != providers.StateReady:
		return RegionResult{}, a.pending(ctx, w, st.Message)
	}
	if !a.Registry.HasDatabase(w.spec.Spec.Engine.Name) {
		return RegionResult{Go: true}, nil
	}
	target, err := a.target(ctx, w.stack, w.spec)
	if err != nil {
		return RegionResult{}, err
	}
	address := net.JoinHostPort(target.Endpoint.Host, strconv.Itoa(target.Endpoint.Port))
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return RegionResult{}, a.pending(ctx, w, "nothing accepts at "+address+" yet")
	}
	_ = conn.Close()
	engine, err := a.Registry.Engine(w.spec.Spec.Engine.Name)
	if err != nil {
		return RegionResult{}, err
	}
	prober, err := providers.As[providers.Prober](engine)
	if err != nil {
		return RegionResult{}, err
	}
	if waiting, err := a.join(ctx, w, engine, module, target); err != nil {
		return RegionResult{}, err
	} else if waiting != "" {
		return RegionResult{}, a.pending(ctx, w, waiting)
	}
	if err := prober.Probe(ctx, target); err != nil {
		if permanent(err) {
			return RegionResult{}, err
		}
		return RegionResult{}, a.pending(ctx, w, err.Error())
	}
	return RegionResult{Go: true}, nil
}

// pending writes down what is waited for, and asks to look again.
func (a *Activities) pending(ctx context.Context, w work, message string) error {
	if w.row.Message != message || w.row.Phase != stacks.RegionWaiting {
		if err := a.setRegion(ctx, w, stacks.RegionWaiting, message); err != nil {
			return err
		}
	}
	return a.stillPending(ctx, w, fmt.Errorf("%s: %s: %w", w.row.Region, message, errPending))
}

// stillPending is the error of a look that found nothing new, or nil once it has been the same for too long: the region has failed then.
// The run's log keeps a line once, so its number tells whether the same is waited for as at the look before.
func (a *Activities) stillPending(ctx context.Context, w work, same error) error {
	last, err := a.Catalog.LastLog(ctx, w.run.ID, w.row.Region)
	if err != nil || last.Text != same.Error() || a.Timing.ReadyHang <= 0 || !activity.IsActivity(ctx) {
		return same
	}
	var before wait
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &before); err != nil {
			before = wait{} // counted anew
		}
	}
	now := before.look(last.Seq, a.Clock.Wall(), 2*(a.Timing.ReadyMaxEvery+a.Timing.LightTimeout))
	activity.RecordHeartbeat(ctx, now) // the next attempt finds it
	if now.For < a.Timing.ReadyHang {
		return same
	}
	message := fmt.Sprintf("nothing new for %s: %s; apply again to go on waiting", now.For.Round(time.Second), w.row.Message)
	return a.setRegion(ctx, w, stacks.RegionFailed, message)
}

// wait is how long the looks of an activity have found the same, from attempt to attempt.
type wait struct {
	// Line is the number of the log line that says what is waited for.
	Line int64
	// For is the time between looks that found it, At the newest of them.
	For time.Duration
	At  time.Time
}

// look adds the time since the look before, which found the same, and never more than two looks can be apart: a wall clock that jumps is no time
// that somebody waited. It is pure.
func (w wait) look(line int64, now time.Time, most time.Duration) wait {
	if w.Line != line {
		return wait{Line: line, At: now}
	}
	return wait{Line: line, At: now, For: w.For + min(max(now.Sub(w.At), 0), most)}
}

// target is how an engine reaches a region; its password lives in memory only.
func (a *Activities) target(ctx context.Context, id stacks.StackID, spec stacks.Database) (providers.Target, error) {
	endpoint, err := a.Catalog.Endpoint(ctx, id)
	if err != nil {
		return providers.Target{}, fmt.Errorf("endpoint of %s: %w", id, err)
	}
	password, err := a.Catalog.Secret(ctx, id.Incarnation, endpoint.Secret)
	if err != nil {
		return providers.Target{}, fmt.Errorf("secret %s: %w", endpoint.Secret, err)
	}
	_, follows := spec.PhysicalSource(id.Region)
	return providers.Target{Region: id.Region, Endpoint: endpoint, Password: password, Follows: follows}, nil
}
