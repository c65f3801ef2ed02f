// Package temporal runs the Temporal server in-process and its Web UI beside it. It is the only package that imports the Temporal server.
//
// It must never let the server end the process: ports, files and databases are checked first, with errors that say what to do.
package temporal

import (
	"context"
	"log/slog"

	"go.temporal.io/sdk/client"
)

// FileName is Temporal's own SQLite file under the data directory. It can be rebuilt: the catalog is the truth.
const FileName = "temporal.db"

// Options say how the server runs.
type Options struct {
	// Dir is the data directory; empty means in memory.
	Dir string
	// Namespace is Temporal's namespace, "meridian" by default.
	Namespace string
	// UI starts the Web UI on a loopback port with PublicPath.
	UI         bool
	PublicPath string
	Logger     *slog.Logger
}

// Server is a running server.
type Server struct{}

// Start starts the server (and UI) on free loopback ports and waits until the frontend serves, the namespace and the search
// attributes are there. Its frontend asks for the key that the server made on first start (0600, under Dir).
// A file of another schema version is moved aside and made anew: rows bring everything back.
func Start(ctx context.Context, o Options) (*Server, error) { panic("todo") }

// Client returns a new SDK client that knows the key.
func (s *Server) Client() (client.Client, error) { panic("todo") }

// FrontendAddress is host:port of the frontend.
func (s *Server) FrontendAddress() string { panic("todo") }

// UIAddress is host:port of the Web UI, "" without one.
func (s *Server) UIAddress() string { panic("todo") }

// Stop stops UI and server, in at most 5 s.
func (s *Server) Stop() { panic("todo") }

// Search attributes that the namespace has (Keyword).
const (
	AttrNamespace = "MeridianNamespace"
	AttrDatabase  = "MeridianDatabase"
	AttrRegion    = "MeridianRegion"
	AttrRun       = "MeridianRun"
	AttrKind      = "MeridianKind"
	AttrStatus    = "MeridianStatus"
)
