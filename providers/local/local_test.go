package local_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/providers/conformance"
	"meridian/providers/local"
	"meridian/providers/local/server"
	"meridian/stacks"
)

func testDatabase() stacks.Database {
	return stacks.Database{
		APIVersion: stacks.APIVersion, Kind: stacks.KindDatabase, Metadata: stacks.Metadata{Namespace: "default", Name: "orders"},
		Spec: stacks.DatabaseSpec{
			Engine: stacks.Engine{Name: "postgres", Parameters: map[string]string{"max_connections": "50", "Work_Mem": "8MB", "pg_stat_statements.max": "1000"}},
			Regions: []stacks.Region{
				{Name: "ankara", Provider: "local", Location: "local", Role: stacks.RolePrimary},
				{Name: "istanbul", Provider: "local", Location: "local", Role: stacks.RoleReplica},
			},
		},
	}
}

func newProvider(t *testing.T) *local.Provider {
	t.Helper()
	if found, err := server.Find(t.Context()); err != nil || len(found) == 0 {
		t.Skip("no PostgreSQL on this machine: .ci/postgres.sh gets one")
	}
	return local.New(local.Config{PluginSource: "meridian.internal/meridian/localdb", PluginVersion: "0.1.0-dev.abc", Root: "/srv/test/servers", Installation: "test" + t.Name()})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	conformance.Run(t, conformance.Suite{
		Provider: newProvider(t),
		Database: testDatabase(),
		Outputs: func(p stacks.Placement) map[string]any {
			return map[string]any{"host": p.Address, "port": p.Port, "admin_user": "meridian", "system_identifier": "1", "server_version": "15.1"}
		},
		BadParameters: map[string]string{
			"max_conections": "5", "work_mem": "lots", "port": "5432", "Listen_Addresses": "*", "data_directory": "/", "wal_level": "replica",
			"max_wal_senders": "0", "archive_command": "true", "synchronous_commit": "perhaps", "unix_socket_directories": "/tmp",
		},
	})
}

func TestUnknownParameterIsGuessed(t *testing.T) {
	t.Parallel()
	db := testDatabase()
	db.Spec.Engine.Parameters = map[string]string{"max_conections": "5"}
	ds := newProvider(t).ValidateRegion(t.Context(), db, db.Spec.Regions[0])
	if len(ds) != 1 || !strings.Contains(ds[0].Next, `"max_connections"`) {
		t.Fatalf("%+v", ds)
	}
}

func TestPlaceTakesAnotherPortWhereAllAddressesAreHeld(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "0.0.0.0:5432")
	if err != nil {
		t.Skip(err) // a server of this machine holds some address with this port
	}
	defer l.Close()
	place, err := newProvider(t).Place(t.Context(), providers.PlaceInput{Engine: "postgres", Stack: stacks.StackID{Namespace: "default", Name: "x", Incarnation: "i", Region: "r"}})
	if err != nil {
		t.Fatal(err)
	}
	if place.Port == 5432 {
		t.Fatalf("%+v", place)
	}
}

func TestNoPostgresHere(t *testing.T) {
	t.Parallel()
	p := local.New(local.Config{Find: noBinaries})
	db := testDatabase()
	ds := p.ValidateRegion(t.Context(), db, db.Spec.Regions[1])
	if len(ds) != 1 || ds[0].Rule != "provider.unready" || ds[0].Field != "spec.regions[1].provider" {
		t.Fatalf("%+v", ds)
	}
}

func noBinaries(context.Context) ([]server.Binaries, error) { return nil, nil }

func TestDirectoriesBesideTheServer(t *testing.T) {
	t.Parallel()
	db := testDatabase()
	in := providers.ModuleInput{
		Stack: stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abc", Region: "ankara"}, Database: db, Region: db.Spec.Regions[0],
		Placement: stacks.Placement{Address: "127.1.1.1", Port: 5432, Values: map[string]string{"data_dir": "/srv/default.orders.abc.ankara"}},
	}
	for directories, want := range map[int]string{0: "", 2: "/srv/default.orders.abc.ankara.beside.02"} {
		call, err := local.New(local.Config{Directories: directories}).ModuleCall(in)
		if err != nil {
			t.Fatal(err)
		}
		paths, _ := call.Inputs["directories"].(map[string]string)
		if len(paths) != directories || paths["02"] != want {
			t.Errorf("%d directories: %v, want %q as the second", directories, paths, want)
		}
		if _, asked := call.Inputs["directories"]; asked != (directories > 0) {
			t.Errorf("%d directories: the module is asked for them: %t", directories, asked)
		}
		if holds := slices.Contains(call.DataBearing, "localdb_directory"); holds != (directories > 0) {
			t.Errorf("%d directories: data-bearing %v", directories, call.DataBearing)
		}
	}
}
