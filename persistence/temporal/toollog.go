package temporal

import (
	"log/slog"
)

// toolLogger is what Temporal's schema tools write to. They end the process where they meet what they cannot read: here that ends
// run with an error.
type toolLogger struct {
	*logger
}

func newToolLogger(out *slog.Logger) toolLogger { return toolLogger{newLogger(out, newFatal())} }

// run runs f, which may end its goroutine by a fatal log line, and returns its error or that of the line.
func (l toolLogger) run(f func() error) error {
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if cause := l.fatal.cause(); cause != nil {
				err = cause
			}
			done <- err
		}()
		err = f()
	}()
	return <-done
}
