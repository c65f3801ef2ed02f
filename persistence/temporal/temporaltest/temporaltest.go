// Package temporaltest starts a Temporal server in memory for tests.
//
// It must never be imported by what ships.
package temporaltest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"go.temporal.io/sdk/client"

	"meridian/persistence/temporal"
)

// Start starts a server for one test and stops it at the test's end. Starting takes about half a second: where a package has
// several tests, start one in TestMain with Run and give each test its own task queue.
func Start(t testing.TB) *temporal.Server {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Client connects to the server and closes the connection at the test's end, before Start's clean-up.
func Client(t testing.TB, s *temporal.Server) client.Client {
	t.Helper()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Run is for TestMain: it starts a server, gives it to use, runs the tests and returns their exit code.
//
//	var server *temporal.Server
//
//	func TestMain(m *testing.M) { os.Exit(temporaltest.Run(m, func(s *temporal.Server) { server = s })) }
func Run(m *testing.M, use func(*temporal.Server)) int {
	s, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.Stop()
	use(s)
	return m.Run()
}

func start() (*temporal.Server, error) {
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	return temporal.Start(context.Background(), temporal.Options{Logger: quiet})
}
