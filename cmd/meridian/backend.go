package main

import (
	"context"
	"log/slog"
	"net/http"

	"meridian/orchestrator/activities"
	"meridian/orchestrator/api"
	"meridian/persistence/temporal"
	"meridian/providers/module"
)

// serveOptions say how the parts of a server are opened. The data directory exists and is locked for this process.
type serveOptions struct {
	// Data is the data directory, absolute.
	Data string
	// Store is where the store is: Data, or a URL that may hold a password.
	Store string
	// Temporal is where Temporal keeps its state.
	Temporal temporal.Settings
	// Modules limits which modules specs may name; nil allows any.
	Modules *module.Limits
	// Retention says what of old runs is kept.
	Retention activities.Retention
	// URL is the server's own address, like http://127.0.0.1:7480.
	URL string
	// UI starts Temporal's Web UI.
	UI bool
	// NoWorker leaves the work to workers in other processes.
	NoWorker bool
	// Terraform is the path of the binary to use; empty means find one.
	Terraform string
	// Authorized reports whether a request carries the API's bearer token.
	Authorized func(*http.Request) bool
}

// backend is a server's opened parts.
type backend struct {
	Service api.Service
	// Web serves everything outside of /api; nil without a Web UI.
	Web http.Handler
	// LoginURL makes a one-time URL that ends at next; nil without a Web UI.
	LoginURL func(next string) string
	// Failed is closed when a part has failed for good; Err then says why. Both may be nil.
	Failed <-chan struct{}
	Err    func() error
	// Close stops workers and servers in order. Runs go on: their runners are processes of their own.
	Close func()
}

// openBackend opens store, keyring, catalog, journal, Temporal, workers and reconciler. Tests of the CLI put a fake here.
var openBackend func(ctx context.Context, o serveOptions, logger *slog.Logger) (*backend, error)
