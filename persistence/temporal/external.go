package temporal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// externalTimeout bounds the first look at an external server.
const externalTimeout = 20 * time.Second

// startExternal checks a server that somebody else runs. Nothing is started here but the Web UI.
func startExternal(ctx context.Context, s *Server) (err error) {
	o := &s.options
	if faults := o.Settings.Check(); len(faults) > 0 {
		return faults[0]
	}
	e := o.Settings.External
	o.Namespace = e.Namespace
	s.fatal = newFatal()
	if s.key, err = loadKey(o.Dir); err != nil { // of the Web UI
		return err
	}
	look, cancel := context.WithTimeout(ctx, externalTimeout)
	defer cancel()
	options, err := externalOptions(o)
	if err != nil {
		return err
	}
	c, err := client.DialContext(look, options)
	if err != nil {
		return explainExternal(e, err)
	}
	defer c.Close()
	_, err = c.WorkflowService().DescribeNamespace(look, &workflowservice.DescribeNamespaceRequest{Namespace: e.Namespace})
	if err != nil {
		return explainExternal(e, err)
	}
	if err := s.checkAttributes(look, c); err != nil {
		return err
	}
	if o.UI {
		if s.ui, err = startUI(e.Address, *o, s.key); err != nil {
			return fmt.Errorf("start temporal's web ui: %w", err)
		}
	}
	return nil
}

// checkAttributes wants our search attributes to be there, and makes them where it may.
func (s *Server) checkAttributes(ctx context.Context, c client.Client) error {
	there, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: s.options.Namespace})
	if err == nil {
		if err = s.addAttributes(ctx, c); err == nil {
			return nil
		}
	}
	var missing []string
	for name := range attributes() {
		if there != nil {
			if _, ok := there.GetCustomAttributes()[name]; ok {
				continue
			}
		} else if _, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: s.options.Namespace, Query: name + " = ''"}); err == nil {
			continue
		}
		missing = append(missing, name)
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("namespace %s lacks search attributes (Keyword), and we may not add them (%w): add %s with `temporal operator search-attribute create`, or in Temporal Cloud's namespace settings",
		s.options.Namespace, err, strings.Join(missing, ", "))
}

// explainExternal says what a person can do about a server that does not let us in.
func explainExternal(e *External, err error) error {
	var namespace *serviceerror.NamespaceNotFound
	var denied *serviceerror.PermissionDenied
	what := fmt.Sprintf("temporal at %s", e.Address)
	switch text := err.Error(); {
	case errors.As(err, &namespace):
		return fmt.Errorf("%s has no namespace %s: make it (`temporal operator namespace create`), or name another: %w", what, e.Namespace, err)
	case errors.As(err, &denied), status.Code(err) == codes.Unauthenticated:
		return fmt.Errorf("%s refuses us: check the certificate or the API key, and its rights on namespace %s: %w", what, e.Namespace, err)
	case strings.Contains(text, "certificate"), strings.Contains(text, "tls:"), strings.Contains(text, "handshake"):
		return fmt.Errorf("%s: TLS does not come about: check tls.ca, tls.cert, tls.key and tls.serverName: %w", what, err)
	case e.TLS != nil && (strings.Contains(text, "broken pipe") || strings.Contains(text, "connection reset") || strings.Contains(text, "EOF")):
		// A server that wants another certificate says so after our side of the handshake is over, and may hang up before it is heard.
		return fmt.Errorf("%s hangs up on us: TLS does not come about, or it wants another certificate: check tls.cert, tls.key and tls.ca: %w", what, err)
	case e.TLS == nil && strings.Contains(text, "connection closed before server preface"), e.TLS == nil && strings.Contains(text, "EOF"):
		return fmt.Errorf("%s hangs up on us: does it want TLS? Then say tls: {}: %w", what, err)
	}
	return fmt.Errorf("%s cannot be reached: is it running, and does the network let us through?: %w", what, err)
}

// externalOptions say how clients reach an external server.
func externalOptions(o *Options) (client.Options, error) {
	e := o.Settings.External
	out := client.Options{HostPort: e.Address, Namespace: e.Namespace, Logger: newSDKLogger(o.Logger)}
	if e.TLS != nil {
		config, err := e.TLS.config()
		if err != nil {
			return out, err
		}
		out.ConnectionOptions.TLS = config
	}
	if e.APIKey != nil {
		out.Credentials = client.NewAPIKeyDynamicCredentials(e.APIKey.Read)
	}
	return withCodec(out, o.Sealer, o.Settings.Encrypted()), nil
}

// config reads the files that settings name.
func (t *TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls.ca: %s holds no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		// Read at each handshake: certificates are replaced before they expire.
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
			if err != nil {
				return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
			}
			return &pair, nil
		}
	}
	return c, nil
}

// Join returns a client for another process of this machine, with the settings that its server has: of the external server, or of
// whatever server runs on the data directory, now or later (see Follow).
func Join(o Options) (client.Client, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Settings.External == nil {
		return follow(o)
	}
	options, err := externalOptions(&o)
	if err != nil {
		return nil, err
	}
	c, err := client.NewLazyClient(options)
	if err != nil {
		return nil, fmt.Errorf("connect to temporal at %s: %w", o.Settings.External.Address, err)
	}
	return c, nil
}

// uiConnection connects the Web UI's backend to the frontend. To an external one it shows our credentials instead of our own key.
func uiConnection(frontend string, o Options) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxUIMessage))}
	transport := insecure.NewCredentials()
	if e := o.Settings.External; e != nil {
		if e.TLS != nil {
			config, err := e.TLS.config()
			if err != nil {
				return nil, err
			}
			if config.ServerName == "" {
				config.ServerName, _, _ = net.SplitHostPort(e.Address)
			}
			transport = credentials.NewTLS(config)
		}
		options = append(options, grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			ctx, err := showCredentials(ctx, e)
			if err != nil {
				return err
			}
			return call(ctx, method, req, reply, cc, opts...)
		}))
	}
	conn, err := grpc.NewClient(frontend, append(options, grpc.WithTransportCredentials(transport))...)
	if err != nil {
		return nil, fmt.Errorf("connect to the frontend: %w", err)
	}
	return conn, nil
}

func showCredentials(ctx context.Context, e *External) (context.Context, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	md = md.Copy()
	md.Delete("authorization")
	if e.APIKey != nil {
		key, err := e.APIKey.Read(ctx)
		if err != nil {
			return nil, err
		}
		md.Set("authorization", "Bearer "+key)
		md.Set("temporal-namespace", e.Namespace)
	}
	return metadata.NewOutgoingContext(ctx, md), nil
}
