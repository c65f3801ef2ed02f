package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// awayWorker is a worker whose server is there or not as the test says.
type awayWorker struct {
	alive  atomic.Bool
	failed chan struct{}
}

func (w *awayWorker) Alive(context.Context) bool { return w.alive.Load() }
func (w *awayWorker) Failed() <-chan struct{}    { return w.failed }
func (w *awayWorker) Err() error                 { return errors.New("no such namespace") }
func (w *awayWorker) Close()                     {}

// TestWorkerStaysJoined takes the server of a worker away and back, puts one of another version in its place, and lets Temporal refuse it.
func TestWorkerStaysJoined(t *testing.T) {
	dir := t.TempDir()
	announce := func(v string) {
		t.Helper()
		if err := writeServerInfo(dir, serverInfo{URL: "http://127.0.0.1:1", Version: v}); err != nil {
			t.Fatal(err)
		}
	}
	announce(version())
	var logs lockedBuffer
	logger := slog.New(slog.NewTextHandler(&logs, nil))
	w := &awayWorker{failed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- stayJoined(t.Context(), dir, w, logger) }()
	says := func(text string) {
		t.Helper()
		if !waitUntil(func() bool { return strings.Contains(logs.String(), text) || len(ended) > 0 }) || len(ended) > 0 {
			t.Fatalf("it says nothing of %q: %s", text, logs.String())
		}
	}
	says("the server is away")
	w.alive.Store(true)
	says("the server is back")
	announce("0.0.1")
	var exit *exitError
	if err := <-ended; !errors.As(err, &exit) || exit.Code != exitFailed || !strings.Contains(exit.What, "version 0.0.1 now") {
		t.Errorf("beside a server of another version it ends with %v", err)
	}

	announce(version())
	close(w.failed)
	if err := stayJoined(t.Context(), dir, w, logger); err == nil || !strings.Contains(err.Error(), "no such namespace") {
		t.Errorf("refused by Temporal it ends with %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.failed = nil
	if err := stayJoined(ctx, dir, w, logger); err != nil {
		t.Errorf("told to stop it ends with %v", err)
	}
}

// TestWithin lets go of what does not stop in time.
func TestWithin(t *testing.T) {
	var logs bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&logs, nil))
	stopped := false
	within(time.Minute, logger, func() { stopped = true })
	if !stopped || logs.Len() > 0 {
		t.Errorf("stopped = %v, logs: %s", stopped, logs.String())
	}
	never := make(chan struct{})
	defer close(never)
	within(time.Millisecond, logger, func() { <-never })
	if !strings.Contains(logs.String(), "not everything has stopped in time") {
		t.Errorf("logs: %s", logs.String())
	}
}
