package temporal

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
)

// TestFollow keeps one client while its server is not there yet, goes, comes back elsewhere, and comes back with another key.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	if _, err := readPlace(dir); !errors.Is(err, ErrNoServer) {
		t.Errorf("an empty directory has a place: %v", err)
	}
	c, err := Follow(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := healthy(t, c); err == nil {
		t.Error("without a server the client is well")
	}
	addresses := map[string]bool{}
	for _, key := range []string{"first", "kept", "new"} {
		if key == "new" {
			if err := os.Remove(filepath.Join(dir, KeyFileName)); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Start(t.Context(), Options{Dir: dir, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		addresses[s.FrontendAddress()] = true
		p, err := readPlace(dir)
		if err != nil || p.Address != s.FrontendAddress() || p.Namespace != DefaultNamespace {
			t.Errorf("place is %+v, %v", p, err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for err = healthy(t, c); err != nil && time.Now().Before(deadline); err = healthy(t, c) {
		}
		if err != nil {
			t.Errorf("with the %s key: %v", key, err)
		}
		s.Stop()
		if _, err := os.Stat(filepath.Join(dir, AddressFileName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a stopped server still says where it is: %v", err)
		}
		if err := healthy(t, c); err == nil {
			t.Error("the server is gone and the client is well")
		}
	}
	if len(addresses) != 3 {
		t.Errorf("the three servers were at %v, want three places: else the test shows nothing", addresses)
	}
}

func healthy(t *testing.T, c client.Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := c.CheckHealth(ctx, nil)
	return err
}
