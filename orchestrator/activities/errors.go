package activities

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/providers"
)

// Types of the application errors that stand in histories. Their messages are constants: what really happened is in the run's log.
const (
	TypePending   = "Pending"
	TypeTransient = "Transient"
	TypePermanent = "Permanent"
	TypeDetached  = "Detached"
)

// errPending says that a look found something not ready yet; the retry policy is the poll loop.
var errPending = errors.New("not ready yet")

// errDetached says that the worker stops; the runner goes on and the next attempt attaches again.
var errDetached = errors.New("the worker is stopping")

// forHistory decides once whether an error is retried, and replaces its text: no text of a cloud or a database enters a history.
func forHistory(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errPending):
		return temporal.NewApplicationError("not ready yet", TypePending)
	case errors.Is(err, errDetached), errors.Is(context.Cause(ctx), worker.ErrWorkerShutdown):
		return temporal.NewApplicationErrorWithOptions("the worker stopped; another attempt goes on", TypeDetached,
			temporal.ApplicationErrorOptions{NextRetryDelay: time.Millisecond})
	case cancelled(ctx):
		return temporal.NewCanceledError()
	case permanent(err):
		return temporal.NewNonRetryableApplicationError("it will not heal by itself: see the run's log", TypePermanent, nil)
	}
	return temporal.NewApplicationError("transient trouble: see the run's log", TypeTransient)
}

// cancelled reports whether an operator has cancelled what asked for the activity.
func cancelled(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, context.Canceled) || temporal.IsCanceledError(cause)
}

// permanent reports whether trying again cannot help.
func permanent(err error) bool {
	for _, p := range []error{
		providers.ErrPermanent, providers.ErrForeign, providers.ErrSuperseded, errors.ErrUnsupported,
		catalog.ErrRefused, catalog.ErrNotFound, journal.ErrNotFound, journal.ErrNotEmpty, journal.ErrChecksum, keyring.ErrTampered,
	} {
		if errors.Is(err, p) {
			return true
		}
	}
	return false
}

// Interceptor keeps what activities say out of histories and writes it to the run's log.
func (a *Activities) Interceptor() interceptor.WorkerInterceptor { return &guard{a: a} }

type guard struct {
	interceptor.WorkerInterceptorBase
	a *Activities
}

func (g *guard) InterceptActivity(ctx context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &activityGuard{a: g.a}
	in.Next = next
	return in
}

type activityGuard struct {
	interceptor.ActivityInboundInterceptorBase
	a *Activities
}

func (g *activityGuard) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := g.Next.ExecuteActivity(ctx, in)
	if err == nil {
		return out, nil
	}
	var run, part string
	if len(in.Args) > 0 {
		if s, ok := in.Args[0].(subject); ok {
			run, part = s.subject()
		}
	}
	info := activity.GetInfo(ctx)
	name := info.ActivityType.Name
	if !errors.Is(err, errDetached) && !(cancelled(ctx) && errors.Is(err, context.Canceled)) {
		g.a.Logger.Debug("activity attempt ended with an error", "activity", name, "run", run, "part", part, "attempt", info.Attempt, "error", err)
		g.a.log(ctx, run, part, level(err), err.Error())
	}
	return nil, forHistory(ctx, err)
}

func level(err error) slog.Level {
	switch {
	case errors.Is(err, errPending):
		return slog.LevelInfo
	case permanent(err):
		return slog.LevelError
	}
	return slog.LevelWarn
}

// log writes a line to the run's log, also while ctx ends. Losing a line of the log fails nothing.
func (a *Activities) log(ctx context.Context, run, part string, l slog.Level, text string) {
	if run == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := a.Catalog.AppendLog(ctx, catalog.LogLine{Run: run, Part: part, Level: l.String(), Text: text}); err != nil {
		a.Logger.Warn("run log line lost", "run", run, "part", part, "error", err)
	}
}
