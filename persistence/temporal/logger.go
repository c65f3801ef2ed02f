package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// fatal holds the first error that the server wanted to end the process for.
type fatal struct {
	once sync.Once
	done chan struct{}
	err  error
}

func newFatal() *fatal { return &fatal{done: make(chan struct{})} }

func (f *fatal) set(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.done)
	})
}

func (f *fatal) cause() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}

// noise are messages that the server logs as errors or warnings in normal operation on one node.
var noise = map[string]bool{
	"workflow update was aborted": true,
	"HTTP API port has not been set. Nexus HTTP endpoints will not be available. " +
		"To enable Nexus, follow these instructions: https://github.com/temporalio/temporal/blob/main/docs/architecture/nexus.md#enabling-nexus.": true,
}

// logger is the server's logger on top of slog. Info of the server is our debug; its debug is dropped.
// Fatal and Panic record their cause and end the goroutine, never the process.
type logger struct {
	out     *slog.Logger
	fatal   *fatal
	stopped *atomic.Bool
	said    *said
}

// said is when each message was last said: a store that is away makes the server say the same hundreds of times a second.
type said struct {
	mu   sync.Mutex
	when map[string]time.Time
}

// sayAgain is when a warning or an error is said again.
const sayAgain = 10 * time.Second

// again reports whether the message was said a moment ago.
func (s *said) again(msg string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.when[msg]; ok && now.Sub(last) < sayAgain {
		return true
	}
	if len(s.when) > 1000 { // most messages are constants; those that are not must not gather
		clear(s.when)
	}
	s.when[msg] = now
	return false
}

var (
	_ log.Logger     = (*logger)(nil)
	_ log.WithLogger = (*logger)(nil)
)

func newLogger(out *slog.Logger, f *fatal) *logger {
	return &logger{out: out.With("component", "temporal"), fatal: f, stopped: new(atomic.Bool), said: &said{when: map[string]time.Time{}}}
}

// quiet makes all messages from now on debug: a server that stops complains about its parts being gone.
func (l *logger) quiet() { l.stopped.Store(true) }

func (l *logger) write(level slog.Level, msg string, tags []tag.Tag) {
	if level > slog.LevelDebug && (l.stopped.Load() || noise[msg] || l.said.again(msg, time.Now())) {
		level = slog.LevelDebug
	}
	if l.out.Enabled(context.Background(), level) {
		l.out.Log(context.Background(), level, msg, attrs(tags)...)
	}
}

// Debug drops the message.
func (l *logger) Debug(string, ...tag.Tag) {}

// Info logs at debug level.
func (l *logger) Info(msg string, tags ...tag.Tag) { l.write(slog.LevelDebug, msg, tags) }

// Warn logs a warning.
func (l *logger) Warn(msg string, tags ...tag.Tag) { l.write(slog.LevelWarn, msg, tags) }

// Error logs an error.
func (l *logger) Error(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// DPanic logs an error.
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// Panic does as Fatal.
func (l *logger) Panic(msg string, tags ...tag.Tag) { l.Fatal(msg, tags...) }

// fatalPanic carries a fatal log line up to Server.construct.
type fatalPanic struct{}

// Fatal records the cause and does not return, as the server expects. Within Server.construct it panics, and construct recovers:
// the server opens its listeners in a sync.OnceValue, which does not survive a goroutine's end. Elsewhere it ends the goroutine.
func (l *logger) Fatal(msg string, tags ...tag.Tag) {
	err := errors.New(msg)
	for _, t := range tags {
		if cause := errorOf(t); cause != nil {
			err = fmt.Errorf("%s: %w", msg, cause)
		}
	}
	l.write(slog.LevelError, msg, tags)
	l.fatal.set(err)
	if underConstruct() {
		panic(fatalPanic{})
	}
	runtime.Goexit()
}

// underConstruct says whether Server.construct is on this goroutine's stack, to recover.
func underConstruct() bool {
	pcs := make([]uintptr, 1024)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "/temporal.(*Server).construct") {
			return true
		}
		if !more {
			return false
		}
	}
}

// With returns a logger that adds the tags to each message.
func (l *logger) With(tags ...tag.Tag) log.Logger {
	return &logger{out: l.out.With(attrs(tags)...), fatal: l.fatal, stopped: l.stopped, said: l.said}
}

// errorOf is the error that a tag holds, nil if it holds none.
func errorOf(t tag.Tag) error {
	if z, ok := t.(tag.ZapTag); ok {
		err, _ := z.Field().Interface.(error)
		return err
	}
	err, _ := t.Value().(error)
	return err
}

func attrs(tags []tag.Tag) []any {
	out := make([]any, 0, len(tags))
	for _, t := range tags {
		if err := errorOf(t); err != nil {
			out = append(out, slog.String(t.Key(), err.Error()))
			continue
		}
		out = append(out, slog.Any(t.Key(), t.Value()))
	}
	return out
}
