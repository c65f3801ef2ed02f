// Package temporal runs the Temporal server in-process and its Web UI beside it. It is the only package that imports the Temporal server.
//
// It must never let the server end the process: ports, files and databases are checked first, with errors that say what to do,
// and a fatal log line of the server becomes an error here. It must never hold what cannot be lost: the catalog is the truth.
package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/temporal"
)

// FileName is Temporal's own SQLite file under the data directory. It can be rebuilt: the catalog is the truth.
const FileName = "temporal.db"

// DefaultNamespace is Temporal's namespace unless Options say another.
const DefaultNamespace = "meridian"

const (
	// retention is how long closed workflows can be looked at in the Web UI; the catalog keeps runs for ever.
	retention = 72 * time.Hour
	// stopTimeout bounds Stop. A clean stop takes about a second; what is not stopped then ends with the process.
	stopTimeout = 4500 * time.Millisecond
	// launchTries bounds how often other ports are tried when somebody takes one between the check and the start.
	launchTries = 3
)

// Options say how the server runs.
type Options struct {
	// Dir is the data directory; empty means in memory.
	Dir string
	// Settings say where the server keeps its state: SQLite in Dir unless they say otherwise.
	Settings Settings
	// Namespace is Temporal's namespace, "meridian" by default.
	Namespace string
	// UI starts the Web UI on a loopback port with PublicPath, "/temporal" by default.
	UI         bool
	PublicPath string
	// Sealer seals payloads where Settings ask for it, and opens sealed ones in any case; nil leaves them as they are.
	Sealer Sealer
	// Logger gets the server's warnings and errors, slog's default without one.
	Logger *slog.Logger
}

// Server is a running server.
type Server struct {
	options Options
	key     key
	backing *backing
	ports   ports
	server  temporal.Server
	fatal   *fatal
	log     *logger
	ui      *webUI
	stop    sync.Once

	announced bool
}

// Start checks the external server that the settings name, and starts none then. Else it starts the server (and UI) on free loopback ports and waits until the frontend serves, the namespace and the search
// attributes are there. Its frontend asks for the key that the server made on first start (0600, under Dir).
// A file of another schema version, or a corrupt one, is moved aside and made anew: rows bring everything back.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.PublicPath == "" {
		o.PublicPath = "/temporal"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{options: o}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if o.Settings.External != nil {
		if err := startExternal(ctx, s); err != nil {
			return nil, err
		}
		return s, nil
	}
	if s.backing, err = openBacking(ctx, o); err != nil {
		return nil, err
	}
	if s.key, err = loadKey(o.Dir); err != nil {
		return nil, err
	}
	if s.backing.state == part(s.backing.file) {
		if err := createNamespace(s.backing.file, o.Namespace); err != nil {
			return nil, err
		}
	}
	if err := s.launch(ctx, freePorts); err != nil {
		return nil, fmt.Errorf("start temporal: %w", err)
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, fmt.Errorf("wait for temporal: %w", err)
	}
	if s.backing.sole != nil {
		s.backing.sole.keep(o.Logger, s.fatal.set)
	}
	if o.UI {
		if s.ui, err = startUI(s.FrontendAddress(), o, s.key); err != nil {
			return nil, fmt.Errorf("start temporal's web ui: %w", err)
		}
	}
	if err := s.announce(); err != nil {
		return nil, err
	}
	return s, nil
}

// launch starts the server's services on ports that are free, on others if somebody takes one meanwhile.
func (s *Server) launch(ctx context.Context, find func() (ports, error)) error {
	for try := 1; ; try++ {
		p, err := find()
		if err != nil {
			return err
		}
		err = s.launchOn(ctx, p)
		if err == nil || try == launchTries || !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		if !s.stopServer() {
			return err
		}
	}
}

// launchOn starts the server's services. A fatal error of the server is returned, with its cause.
func (s *Server) launchOn(ctx context.Context, p ports) error {
	tls, err := newInternodeTLS()
	if err != nil {
		return err
	}
	s.ports, s.fatal = p, newFatal()
	s.log = newLogger(s.options.Logger, s.fatal)
	done := make(chan error, 1)
	go func() {
		// A fatal log line ends this goroutine; the cause is in s.fatal then.
		err := errors.New("the server's start was cut off")
		defer func() { done <- err }()
		if err = s.construct(serverConfig(s.backing, p), p, tls); err == nil {
			err = s.server.Start()
		}
	}()
	select {
	case err := <-done:
		if cause := s.fatal.cause(); cause != nil {
			return cause
		}
		return err
	case <-ctx.Done():
		<-done
		return ctx.Err()
	}
}

// construct builds the server. A fatal log line below it panics with fatalPanic, see logger.Fatal.
//
//go:noinline
func (s *Server) construct(c *config.Config, p ports, tls *internodeTLS) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(fatalPanic); !ours {
				panic(r)
			}
			err = s.fatal.cause()
		}
	}()
	s.server, err = temporal.NewServer(append(s.backing.options(),
		temporal.WithConfig(c),
		temporal.ForServices(services),
		temporal.WithStaticHosts(p.hosts()),
		temporal.WithLogger(s.log),
		temporal.WithTLSConfigFactory(tls),
		temporal.WithAuthorizer(authorizer{}),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return newClaimMapper(s.key) }),
		temporal.WithDynamicConfigClient(dynamicSettings),
	)...)
	return err
}

// Client returns a new SDK client that knows the key.
func (s *Server) Client() (client.Client, error) {
	if s.options.Settings.External != nil {
		o, err := externalOptions(&s.options)
		if err != nil {
			return nil, err
		}
		return client.Dial(o)
	}
	o := clientOptions(s.FrontendAddress(), s.options.Namespace, s.key, s.options.Logger)
	return client.Dial(withCodec(o, s.options.Sealer, s.options.Settings.Encrypted()))
}

// FrontendAddress is host:port of the frontend.
func (s *Server) FrontendAddress() string {
	if e := s.options.Settings.External; e != nil {
		return e.Address
	}
	return s.ports.address(frontendService)
}

// UIAddress is host:port of the Web UI, "" without one. It asks for the key, as "Authorization: Bearer KEY".
func (s *Server) UIAddress() string {
	if s.ui == nil {
		return ""
	}
	return s.ui.address
}

// Key is what the frontend and the Web UI ask for, as "Authorization: Bearer KEY". It is a secret.
func (s *Server) Key() string { return string(s.key) }

// Namespace is the namespace that is there when Start returns.
func (s *Server) Namespace() string { return s.options.Namespace }

// Failed is closed when the server came to an error that would have ended the process; Err says which. The server is of no use then.
func (s *Server) Failed() <-chan struct{} { return s.fatal.done }

// Err is the error that Failed announces, nil before.
func (s *Server) Err() error { return s.fatal.cause() }

// Stop stops UI and server, in at most 5 s. Stop workers and clients first. A second Stop does nothing.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.withdraw()
		if s.ui != nil {
			s.ui.stop()
		}
		// A server that did not stop may still write: the lock stays until the process ends.
		if s.stopServer() && s.backing != nil {
			s.backing.close()
		}
	})
}

// stopServer stops what launch started and says whether it stopped in time. What did not is left to the end of the process.
func (s *Server) stopServer() bool {
	if s.server == nil {
		return true
	}
	s.log.quiet()
	server := s.server
	s.server = nil
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Stop(); err != nil {
			s.options.Logger.Debug("temporal did not stop cleanly", "error", err)
		}
	}()
	select {
	case <-done:
		return true
	case <-time.After(stopTimeout):
		s.options.Logger.Warn("temporal did not stop in time", "timeout", stopTimeout)
		return false
	}
}
