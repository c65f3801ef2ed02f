package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"meridian/providers"
	"meridian/providers/local"
	"meridian/providers/local/server"
	"meridian/stacks"
)

func TestInventoryListsWhatIsMarkedAndRemovesExactlyThat(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("/tmp", "meridian-local-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(root)) })
	must(t, os.Chmod(root, 0o711))
	newProvider(t) // skips without PostgreSQL
	mine, other := local.New(local.Config{Root: root, Installation: "mine"}), local.New(local.Config{Root: root, Installation: "other"})
	if got, err := local.New(local.Config{Root: filepath.Join(root, "none"), Installation: "mine"}).Inventory(t.Context(), nil); err != nil || len(got) != 0 {
		t.Fatalf("no root at all: %v, %v", got, err)
	}
	id := stacks.StackID{Namespace: "default", Name: "orders", Incarnation: "abc", Region: "ankara"}
	place, err := mine.Place(t.Context(), providers.PlaceInput{Engine: "postgres", Stack: id})
	must(t, err)
	versions, err := mine.EngineVersions(t.Context(), "postgres")
	must(t, err)
	spec := server.Spec{
		Home: filepath.Join(root, "one"), Owner: "mine/" + id.String(), Name: "one", Address: place.Address, Port: place.Port, EngineVersion: versions[0],
	}
	t.Cleanup(func() { must(t, server.Destroy(context.Background(), spec.Home, spec.Owner)) })
	_, err = server.Ensure(t.Context(), spec, "a-password")
	must(t, err)
	must(t, os.Mkdir(filepath.Join(root, "foreign"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "foreign", "precious"), nil, 0o600))

	got, err := mine.Inventory(t.Context(), nil)
	must(t, err)
	if len(got) != 1 || got[0].Stack != id || got[0].ID != spec.Home || got[0].ImportID != spec.Home || !got[0].DataBearing || got[0].Type != "localdb_postgres" {
		t.Fatalf("inventory %+v", got)
	}
	if of, err := other.Inventory(t.Context(), nil); err != nil || len(of) != 0 {
		t.Fatalf("another installation's inventory: %+v, %v", of, err)
	}
	wrong := got[0]
	wrong.Stack.Incarnation = "xyz"
	if err := mine.RemoveObject(t.Context(), wrong, nil); !errors.Is(err, providers.ErrForeign) {
		t.Errorf("a server of another mark: %v", err)
	}
	wrong = got[0]
	wrong.ID = filepath.Join(root, "deeper", "one")
	if err := mine.RemoveObject(t.Context(), wrong, nil); !errors.Is(err, providers.ErrForeign) {
		t.Errorf("a path elsewhere: %v", err)
	}
	if sight, err := server.Look(t.Context(), spec.Home, spec.Owner); err != nil || sight.State != server.StateRunning {
		t.Fatalf("a refused removal touched it: %+v, %v", sight, err)
	}
	must(t, mine.RemoveObject(t.Context(), got[0], nil))
	must(t, mine.RemoveObject(t.Context(), got[0], nil))
	if _, err := os.Stat(spec.Home); !os.IsNotExist(err) {
		t.Errorf("the home is left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "foreign", "precious")); err != nil {
		t.Error(err)
	}
}
