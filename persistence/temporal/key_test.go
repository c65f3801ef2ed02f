package temporal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.temporal.io/server/common/primitives"
)

func TestStrangersAreRefused(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir)
	describe := func(ctx context.Context, c grpc.ClientConnInterface) error {
		_, err := workflowservice.NewWorkflowServiceClient(c).DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: DefaultNamespace})
		return err
	}
	health := func(ctx context.Context, c grpc.ClientConnInterface) error {
		_, err := grpc_health_v1.NewHealthClient(c).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "temporal.api.workflowservice.v1.WorkflowService"})
		return err
	}
	other := newKey()
	for name, test := range map[string]struct {
		service primitives.ServiceName
		header  string
		call    func(context.Context, grpc.ClientConnInterface) error
		want    codes.Code
	}{
		"the key":                         {frontendService, s.key.bearer(), describe, codes.OK},
		"no key":                          {frontendService, "", describe, codes.PermissionDenied},
		"another key":                     {frontendService, other.bearer(), describe, codes.PermissionDenied},
		"the key without its scheme":      {frontendService, string(s.key), describe, codes.PermissionDenied},
		"no key, health":                  {frontendService, "", health, codes.PermissionDenied},
		"the key, health":                 {frontendService, s.key.bearer(), health, codes.OK},
		"internal frontend with the key":  {primitives.InternalFrontendService, s.key.bearer(), describe, codes.Unavailable},
		"internal frontend without a key": {primitives.InternalFrontendService, "", describe, codes.Unavailable},
		"history":                         {primitives.HistoryService, s.key.bearer(), health, codes.Unavailable},
		"matching":                        {primitives.MatchingService, s.key.bearer(), health, codes.Unavailable},
		"worker":                          {primitives.WorkerService, s.key.bearer(), health, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := grpc.NewClient(s.ports.address(test.service), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if test.header != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", test.header)
			}
			if err := test.call(ctx, c); status.Code(err) != test.want {
				t.Errorf("answer is %v, want %v", err, test.want)
			}
		})
	}
	t.Run("another process without the key", func(t *testing.T) {
		elsewhere := t.TempDir()
		if _, err := loadKey(elsewhere); err != nil {
			t.Fatal(err)
		}
		c, err := OpenClient(t.Context(), s.FrontendAddress(), filepath.Join(elsewhere, KeyFileName), "", logTo(os.Stderr))
		if err == nil {
			c.Close()
			t.Fatal("a client with another key got in")
		}
		if !strings.Contains(err.Error(), "refuses the key in "+elsewhere) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("another process with the key file", func(t *testing.T) {
		c, err := OpenClient(t.Context(), s.FrontendAddress(), filepath.Join(dir, KeyFileName), "", logTo(os.Stderr))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		startGreeter(t, c)
		runGreet(t, c, "from afar", nil)
	})
}

func TestKeyFile(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"empty":            {"", 0o600, "is damaged"},
		"cut off":          {string(newKey())[:20], 0o600, "is damaged"},
		"other text":       {strings.Repeat("#", 43), 0o600, "is damaged"},
		"group may read":   {string(newKey()), 0o640, "chmod 600"},
		"others may read":  {string(newKey()), 0o604, "chmod 600"},
		"without new line": {string(newKey()), 0o600, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, KeyFileName)
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, test.mode); err != nil {
				t.Fatal(err)
			}
			k, err := loadKey(dir)
			if test.want == "" {
				if err != nil || string(k) != test.text {
					t.Fatalf("key %q, error %v", string(k), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error is %v", err)
			}
			if test.text != "" && strings.Contains(err.Error(), test.text) {
				t.Error("the error holds the key")
			}
		})
	}
	t.Run("made once, and not printed", func(t *testing.T) {
		dir := t.TempDir()
		one, err := loadKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		again, err := loadKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		if one != again {
			t.Error("a second key was made")
		}
		for _, verb := range []string{"%v", "%+v", "%s"} {
			if got := fmt.Sprintf(verb, one); strings.Contains(got, string(one)) {
				t.Errorf("%s prints the key", verb)
			}
		}
	})
}
