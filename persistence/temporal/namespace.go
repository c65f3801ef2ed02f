package temporal

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Search attributes that the namespace has (Keyword).
const (
	AttrNamespace = "MeridianNamespace"
	AttrDatabase  = "MeridianDatabase"
	AttrRegion    = "MeridianRegion"
	AttrRun       = "MeridianRun"
	AttrKind      = "MeridianKind"
	AttrStatus    = "MeridianStatus"
)

// attributes are all search attributes of the namespace.
func attributes() map[string]enumspb.IndexedValueType {
	m := map[string]enumspb.IndexedValueType{}
	for _, name := range []string{AttrNamespace, AttrDatabase, AttrRegion, AttrRun, AttrKind, AttrStatus} {
		m[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	return m
}

// createNamespace writes the namespace into the store before the server starts, so that no cache has to learn of it.
// A namespace that is there stays as it is.
func createNamespace(store *storeFile, name string) error {
	n, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, attributes())
	if err != nil {
		return fmt.Errorf("describe temporal's namespace %s: %w", name, err)
	}
	n.Detail.Config.Retention = durationpb.New(retention)
	if err := sqliteschema.CreateNamespaces(store.sql(), n); err != nil {
		return fmt.Errorf("create temporal's namespace %s: %w", name, err)
	}
	return nil
}

const (
	// readyTimeout bounds the wait for a server that has come up: hundreds of shards on a loaded cluster take their time.
	readyTimeout = 2 * time.Minute
	readyPoll    = 10 * time.Millisecond
)

// waitReady waits until the frontend knows the namespace and adds search attributes that an older namespace has not.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, clientOptions(s.FrontendAddress(), s.options.Namespace, s.key, s.options.Logger))
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := s.ensureNamespace(ctx, c)
		if err == nil {
			err = s.addAttributes(ctx, c)
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.fatal.done:
			return s.fatal.cause()
		case <-ctx.Done():
			return fmt.Errorf("namespace %s: %w", s.options.Namespace, err)
		}
	}
}

// ensureNamespace wants the namespace to be there and known to the frontend, and registers it where it is missing.
func (s *Server) ensureNamespace(ctx context.Context, c client.Client) error {
	_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.options.Namespace})
	var missing *serviceerror.NamespaceNotFound
	if !errors.As(err, &missing) {
		return err
	}
	_, err = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: s.options.Namespace, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	})
	var there *serviceerror.NamespaceAlreadyExists
	if err != nil && !errors.As(err, &there) {
		return err
	}
	return errNotKnown
}

// errNotKnown means that the frontend's cache has to learn of the namespace.
var errNotKnown = errors.New("it was just registered")

// addAttributes adds the search attributes that the namespace lacks.
func (s *Server) addAttributes(ctx context.Context, c client.Client) error {
	there, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: s.options.Namespace})
	if err != nil {
		return fmt.Errorf("list search attributes: %w", err)
	}
	missing := attributes()
	for name := range there.CustomAttributes {
		delete(missing, name)
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: s.options.Namespace, SearchAttributes: missing,
	}); err != nil {
		return fmt.Errorf("add search attributes: %w", err)
	}
	return s.waitAttributes(ctx, c)
}

// waitAttributes waits until the frontend's caches know the search attributes.
func (s *Server) waitAttributes(ctx context.Context, c client.Client) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: s.options.Namespace, Query: AttrRun + " = ''"})
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.fatal.done:
			return s.fatal.cause()
		case <-ctx.Done():
			return fmt.Errorf("search attributes: %w", err)
		}
	}
}
