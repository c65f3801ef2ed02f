package local_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/providers/local"
	"meridian/providers/local/server"
	"meridian/stacks"
)

func TestControlPlaneSaysWhatIsThere(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("/tmp", "meridian-local-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(root)) })
	must(t, os.Chmod(root, 0o711)) // servers of a root's tests run as somebody else
	newProvider(t)                 // skips without PostgreSQL
	p := local.New(local.Config{Root: root, Installation: filepath.Base(root)})
	in := providers.ModuleInput{Stack: stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abc", Region: "ankara"}, Database: testDatabase()}
	versions, err := p.EngineVersions(t.Context(), "postgres")
	must(t, err)
	in.Database.Spec.Engine.Version, in.Region = versions[0], in.Database.Spec.Regions[0]
	in.Placement, err = p.Place(t.Context(), providers.PlaceInput{Engine: "postgres", Stack: in.Stack})
	must(t, err)
	call, err := p.ModuleCall(in)
	must(t, err)
	spec := server.Spec{
		Home: call.Inputs["data_dir"].(string), Owner: call.Inputs["owner"].(string), Name: call.Inputs["name"].(string),
		Address: in.Placement.Address, Port: in.Placement.Port, EngineVersion: versions[0],
	}
	t.Cleanup(func() { must(t, server.Destroy(context.Background(), spec.Home, spec.Owner)) })

	want := func(state providers.ReadyState, raw server.State, words string) {
		t.Helper()
		got, err := p.ControlPlane(t.Context(), in)
		must(t, err)
		if got.State != state || got.Raw != string(raw) || !strings.Contains(got.Message, words) {
			t.Fatalf("%+v; want %s, %s, %q", got, state, raw, words)
		}
	}
	want(providers.StateFailed, server.StateAbsent, spec.Home)
	_, err = server.Ensure(t.Context(), spec, "a-password")
	must(t, err)
	want(providers.StateReady, server.StateRunning, "accepts connections")
	taken, err := p.Place(t.Context(), providers.PlaceInput{Engine: "postgres", Stack: in.Stack})
	must(t, err)
	if taken.Address == in.Placement.Address {
		t.Fatal("an address on which a server answers was given again")
	}
	must(t, server.Stop(t.Context(), spec.Home, spec.Owner))
	want(providers.StateFailed, server.StateStopped, "apply again")
	in.Stack.Incarnation = "another"
	want(providers.StateFailed, server.StateForeign, "belongs to")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestServersRoot(t *testing.T) {
	t.Parallel()
	open, err := os.MkdirTemp("/tmp", "meridian-root-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(open)) })
	must(t, os.Chmod(open, 0o711))
	root, err := local.ServersRoot(open)
	if err != nil || root != filepath.Join(open, "servers") {
		t.Fatalf("%s, %v", root, err)
	}
	must(t, os.Chmod(open, 0o700))
	root, err = local.ServersRoot(open)
	must(t, err)
	if below := strings.HasPrefix(root, open); below != (os.Geteuid() != 0) { // only root's servers run as another user
		t.Fatal(root)
	}
}
