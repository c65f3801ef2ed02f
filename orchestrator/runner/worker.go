package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// worker is what every verb that needs the store works with.
type worker struct {
	site   terraform.Site
	timing stacks.Timing
	log    *slog.Logger
	clock  terraform.Clock

	store   *store.Store
	keys    *keyring.Keyring
	catalog *catalog.Catalog
	journal *journal.Journal

	siteID string
	boot   string
	me     process

	// told is when this runner was told that its host shuts down.
	told *departure

	// emptied says that the attempt which was concluded last left a state with nothing in it.
	emptied bool
}

// openWorker opens the store of a site. It never makes a keyring: a runner only works for a server that has one.
func openWorker(ctx context.Context, site terraform.Site, log *slog.Logger) (*worker, error) {
	w := &worker{site: site, log: log, told: &departure{}}
	var err error
	if w.timing, err = readTiming(os.Getenv(terraform.EnvTiming)); err != nil {
		return nil, err
	}
	if w.boot, err = bootID(); err != nil {
		return nil, err
	}
	if w.me, err = self(); err != nil {
		return nil, err
	}
	if w.siteID, err = ensureSiteID(site); err != nil {
		return nil, err
	}
	where, err := store.Where("", site.Root)
	if err != nil {
		return nil, err
	}
	if w.store, err = store.Open(ctx, where); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if w.keys, err = openRing(site); err != nil {
		return nil, errors.Join(err, w.store.Close())
	}
	w.catalog, w.journal = catalog.New(w.store, w.keys), journal.New(w.store, w.keys)
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if err := w.journal.SeeSite(ctx, w.siteID, w.boot, host); err != nil {
		return nil, errors.Join(err, w.store.Close())
	}
	return w, nil
}

// openRing opens the installation's keyring.
func openRing(site terraform.Site) (*keyring.Keyring, error) {
	source := keyring.Source{Dir: site.Root}
	if os.Getenv(terraform.EnvKeyring) != "" {
		source.Env = terraform.EnvKeyring
	}
	keys, err := keyring.Open(source, false)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return keys, nil
}

// close closes the store.
func (w *worker) close() {
	if err := w.store.Close(); err != nil {
		w.log.Warn("close the store", "error", err)
	}
}

// parkAfter is how long a finished terraform's runner tries to reach the store before it leaves everything in the spool.
func (w *worker) parkAfter() time.Duration { return 6 * w.timing.Heartbeat }

// readTiming reads the durations that tests scale.
func readTiming(text string) (stacks.Timing, error) {
	t := stacks.DefaultTiming()
	if text == "" {
		return t, nil
	}
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return t, fmt.Errorf("%s: %w", terraform.EnvTiming, err)
	}
	return t, nil
}

// ensureSiteID reads the site's ID, made on first use.
func ensureSiteID(site terraform.Site) (string, error) {
	path := site.IDFile()
	for range 2 {
		if id, err := site.ID(); id != "" || err != nil {
			return id, err
		}
		tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
		if err := disk.write(tmp, []byte(uuid.NewString()+"\n"), true); err != nil {
			return "", fmt.Errorf("site: %w", err)
		}
		err := disk.link(tmp, path) // the first one wins
		if err == nil {
			err = disk.syncDir(site.Root)
		}
		_ = disk.remove(tmp)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("site: %w", err)
		}
	}
	return "", fmt.Errorf("site: %s is empty: remove it", path)
}
