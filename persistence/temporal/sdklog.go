package temporal

import (
	"log/slog"

	sdklog "go.temporal.io/sdk/log"
)

// activityFailed is what the SDK says, at error level, each time an attempt of an activity returns an error. With us that is also how a
// poll says "not yet": activities write what they met to the log themselves, at the level it deserves.
const activityFailed = "Activity error."

// sdkLogger passes the SDK's own words on, but for activityFailed, which is of no use to an operator.
type sdkLogger struct{ sdklog.Logger }

func newSDKLogger(log *slog.Logger) sdklog.Logger {
	return sdkLogger{sdklog.NewStructuredLogger(log.With("component", "temporal-sdk"))}
}

// Error passes an error on.
func (l sdkLogger) Error(msg string, keyvals ...any) {
	if msg == activityFailed {
		l.Debug(msg, keyvals...)
		return
	}
	l.Logger.Error(msg, keyvals...)
}

// With keeps the filter on the logger that it returns.
func (l sdkLogger) With(keyvals ...any) sdklog.Logger {
	return sdkLogger{sdklog.With(l.Logger, keyvals...)}
}
