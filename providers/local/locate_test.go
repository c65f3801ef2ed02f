package local_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"meridian/providers"
	"meridian/providers/local"
	"meridian/providers/local/directory"
	"meridian/providers/local/server"
	"meridian/stacks"
)

const (
	serverAddress    = "module.database.localdb_postgres.this"
	directoryAddress = `module.database.localdb_directory.beside["02"]`
)

// TestLocate finds a server and a directory again in every state in which a kill may leave them.
func TestLocate(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("/tmp", "meridian-local-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(root)) })
	must(t, os.Chmod(root, 0o711))
	newProvider(t) // skips without PostgreSQL
	p := local.New(local.Config{Root: root, Installation: filepath.Base(root), Directories: 3})
	in := providers.LocateInput{ModuleInput: providers.ModuleInput{
		Stack: stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abc", Region: "ankara"}, Database: testDatabase(),
	}}
	versions, err := p.EngineVersions(t.Context(), "postgres")
	must(t, err)
	in.Database.Spec.Engine.Version, in.Region = versions[0], in.Database.Spec.Regions[0]
	in.Placement, err = p.Place(t.Context(), providers.PlaceInput{Engine: "postgres", Stack: in.Stack})
	must(t, err)
	call, err := p.ModuleCall(in.ModuleInput)
	must(t, err)
	spec := server.Spec{
		Home: call.Inputs["data_dir"].(string), Owner: call.Inputs["owner"].(string), Name: call.Inputs["name"].(string),
		Address: in.Placement.Address, Port: in.Placement.Port, EngineVersion: versions[0],
	}
	t.Cleanup(func() { must(t, server.Destroy(context.Background(), spec.Home, spec.Owner)) })
	find := func(typ, address string) providers.Located {
		t.Helper()
		in.Type, in.Address = typ, address
		found, err := p.Locate(t.Context(), in)
		must(t, err)
		if found.Evidence == "" || (found.State == providers.FoundPresent) != (found.ImportID != "") {
			t.Errorf("%+v", found)
		}
		return found
	}
	want := func(what string, found providers.Located, state providers.FoundState, healthy bool, words string) {
		t.Helper()
		if found.State != state || found.Healthy != healthy || !strings.Contains(found.Evidence, words) {
			t.Errorf("%s: %+v; want %s, healthy %t, %q", what, found, state, healthy, words)
		}
	}
	db := func() providers.Located { t.Helper(); return find("localdb_postgres", serverAddress) }
	dir := func() providers.Located { t.Helper(); return find("localdb_directory", directoryAddress) }

	want("nothing is there", db(), providers.FoundAbsent, false, "no server in "+spec.Home)
	want("another type", find("aws_db_instance", "x"), providers.FoundUnknown, false, "aws_db_instance")
	_, err = server.Ensure(t.Context(), spec, "a-password")
	must(t, err)
	if found := db(); found.ImportID != spec.Home {
		t.Errorf("import ID %s, want %s", found.ImportID, spec.Home)
	}
	want("a server", db(), providers.FoundPresent, true, "runs")
	hand, err := os.Open(spec.Home)
	must(t, err)
	must(t, unix.Flock(int(hand.Fd()), unix.LOCK_EX))
	want("somebody works on it", db(), providers.FoundSettling, false, "still works")
	must(t, hand.Close())
	must(t, server.Stop(t.Context(), spec.Home, spec.Owner))
	want("a stopped one", db(), providers.FoundPresent, false, "is stopped")
	version := filepath.Join(spec.Home, "data", "PG_VERSION")
	text, err := os.ReadFile(version)
	must(t, err)
	must(t, os.Remove(version))
	want("a damaged one", db(), providers.FoundUnknown, false, "damaged")
	must(t, os.WriteFile(version, text, 0o600))
	must(t, os.Rename(filepath.Join(spec.Home, "data"), filepath.Join(spec.Home, "data.gone")))
	want("half removed", db(), providers.FoundAbsent, false, "our mark and no cluster")
	in.Stack.Incarnation = "another"
	want("another's", db(), providers.FoundForeign, false, "belongs to")
	in.Stack.Incarnation = "abc"

	path := call.Inputs["directories"].(map[string]string)["02"]
	want("no directory", dir(), providers.FoundAbsent, false, path)
	want("no such key", find("localdb_directory", `module.database.localdb_directory.beside["07"]`), providers.FoundUnknown, false, "07")
	must(t, os.Mkdir(path, 0o700))
	want("an empty directory", dir(), providers.FoundAbsent, false, "is empty")
	_, err = directory.Create(directory.Spec{Path: path, Owner: spec.Owner})
	must(t, err)
	if found := dir(); found.ImportID != path {
		t.Errorf("import ID %s, want %s", found.ImportID, path)
	}
	want("a directory", dir(), providers.FoundPresent, true, "our mark")
	in.Stack.Incarnation = "another"
	in.Placement.Values = map[string]string{"data_dir": spec.Home}
	want("another's directory", dir(), providers.FoundForeign, false, "belongs to")
	in.Placement.Values = nil
	want("a region without a place", db(), providers.FoundUnknown, false, "has no place")
}
