package launch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"

	"meridian/stacks/terraform"
)

// installTimeout bounds the download of some 30 MB.
const installTimeout = 5 * time.Minute

// install puts the pinned terraform into the site; the library checks the signature of the checksums and the archive's checksum.
// Several processes at once install it once.
func install(ctx context.Context, site terraform.Site) (string, error) {
	target := filepath.Join(site.Bin(), ProductTerraform)
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	err := withLock(ctx, filepath.Join(site.Bin(), ".lock"), func() error {
		if b, err := ask(ctx, target); err == nil && b.Version == PinnedVersion {
			return nil
		}
		dir, err := os.MkdirTemp(site.Bin(), tempPrefix+"*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) // what is left is removed by the next install
		source := &releases.ExactVersion{Product: product.Terraform, Version: version.Must(version.NewVersion(PinnedVersion)), InstallDir: dir}
		path, err := source.Install(ctx)
		if err != nil {
			return err
		}
		return os.Rename(path, target)
	})
	if err != nil {
		return "", fmt.Errorf("install terraform %s: %w", PinnedVersion, err)
	}
	return target, nil
}
