package temporal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	sqliteschema "go.temporal.io/server/schema/sqlite"
)

func TestHistoryOutlivesTheServer(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		began := time.Now()
		s, err := Start(t.Context(), Options{Dir: dir, Logger: logTo(os.Stderr)})
		if err != nil {
			t.Fatal(err)
		}
		ready := time.Since(began)
		t.Run(fmt.Sprintf("start %d", i), func(t *testing.T) {
			c := clientOf(t, s)
			startGreeter(t, c)
			runGreet(t, c, fmt.Sprintf("greet/%d", i), nil)
			t.Logf("ready after %v, first workflow done after %v", ready, time.Since(began))
			for before := range i {
				if err := c.GetWorkflow(t.Context(), fmt.Sprintf("greet/%d", before), "").Get(t.Context(), nil); err != nil {
					t.Errorf("workflow of start %d: %v", before, err)
				}
			}
		})
		began = time.Now()
		s.Stop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("stop took %v", took)
		} else {
			t.Logf("stopped after %v", took)
		}
		s.Stop() // does nothing
		if info, err := os.Stat(filepath.Join(dir, FileName+"-wal")); err == nil && info.Size() > 0 {
			t.Errorf("%d bytes are left in the write-ahead log", info.Size())
		}
	}
	for _, name := range []string{FileName, KeyFileName} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestInMemoryServersAreApart(t *testing.T) {
	one, other := startIn(t, ""), startIn(t, "")
	works(t, one)
	_, err := clientOf(t, other).DescribeWorkflowExecution(t.Context(), "works", "")
	if err == nil {
		t.Error("a workflow of one server is in the other")
	}
	if one.Key() == other.Key() {
		t.Error("two servers have one key")
	}
}

func TestNamespaceIsReady(t *testing.T) {
	dir := t.TempDir()
	// A namespace of an older Meridian, which had fewer search attributes.
	store, err := openStore(t.Context(), dir, logTo(os.Stderr))
	if err != nil {
		t.Fatal(err)
	}
	old, err := sqliteschema.NewNamespaceConfig(clusterName, "older", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	old.Detail.Config.Retention = durationpb.New(retention)
	if err := sqliteschema.CreateNamespaces(store.sql(), old); err != nil {
		t.Fatal(err)
	}
	store.close()

	for _, namespace := range []string{DefaultNamespace, "older"} {
		t.Run(namespace, func(t *testing.T) {
			s, err := Start(t.Context(), Options{Dir: dir, Namespace: namespace, Logger: logTo(os.Stderr)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			c := clientOf(t, s)
			n, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
			if err != nil {
				t.Fatal(err)
			}
			if got := n.Config.WorkflowExecutionRetentionTtl.AsDuration(); got != retention {
				t.Errorf("retention is %v", got)
			}
			there, err := c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
			if err != nil {
				t.Fatal(err)
			}
			for name, kind := range attributes() {
				if there.CustomAttributes[name] != kind {
					t.Errorf("search attribute %s is %v", name, there.CustomAttributes[name])
				}
			}
			startGreeter(t, c)
			runGreet(t, c, "run/1", map[string]any{AttrRun: "1", AttrDatabase: "orders"})
			eventually(t, "the workflow is found by its attribute", func() bool {
				found, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
					Namespace: namespace, Query: AttrDatabase + ` = "orders" AND ` + AttrRun + ` = "1"`,
				})
				return err == nil && len(found.Executions) == 1
			})
		})
	}
}

func TestTakenPort(t *testing.T) {
	taken, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := func() (ports, error) {
		p, err := freePorts()
		if err == nil {
			p[frontendService] = taken.Addr().(*net.TCPAddr).Port
		}
		return p, err
	}
	server := func(t *testing.T) *Server {
		store, err := openStore(t.Context(), t.TempDir(), logTo(os.Stderr))
		if err != nil {
			t.Fatal(err)
		}
		k, err := loadKey("")
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{options: Options{Namespace: DefaultNamespace, Logger: logTo(&logs{})}, backing: &backing{state: store, lists: store, file: store, shards: 1}, key: k}
		t.Cleanup(s.Stop)
		if err := createNamespace(store, DefaultNamespace); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("once: other ports are tried", func(t *testing.T) {
		s, tries := server(t), 0
		err := s.launch(t.Context(), func() (ports, error) {
			if tries++; tries == 1 {
				return bad()
			}
			return freePorts()
		})
		if err != nil {
			t.Fatal(err)
		}
		if tries != 2 {
			t.Errorf("%d tries", tries)
		}
		if err := s.waitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		works(t, s)
	})
	t.Run("always: an error says so", func(t *testing.T) {
		err := server(t).launch(t.Context(), bad)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "gRPC listener") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestCancelledStartGivesEverythingBack(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, Options{Dir: dir, Logger: logTo(&logs{})}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error is %v", err)
	}
	works(t, startIn(t, dir))
}

func TestFatalEndsNoProcess(t *testing.T) {
	out := new(logs)
	f := newFatal()
	l := newLogger(logTo(out), f)
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.With().Fatal("no way on")
		returned = true
	}()
	<-done
	if returned {
		t.Error("Fatal returned to a caller that does not expect it")
	}
	if f.cause() == nil || f.cause().Error() != "no way on" {
		t.Errorf("cause is %v", f.cause())
	}
	if !out.contain("level=ERROR") {
		t.Error("nothing was logged")
	}
	l.quiet()
	l.Error("after the end")
	if out.contain("after the end") {
		t.Error("a stopping server is heard")
	}
}
