package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"meridian/stacks/terraform"
)

// layTimeout bounds the wait for another process that lays the same plugin; a copy takes milliseconds.
const layTimeout = time.Minute

// platform is terraform's word for this machine.
func platform() string { return runtime.GOOS + "_" + runtime.GOARCH }

// LayMirror puts our own plugin into the site's mirror under a version that is derived from its content: a rebuilt plugin under an old
// version would break every template and plan that was made with it. It may be called by several processes at once.
func LayMirror(site terraform.Site, pluginBinary string) (terraform.Plugin, error) {
	sum, err := fileSum(pluginBinary)
	if err != nil {
		return terraform.Plugin{}, fmt.Errorf("plugin: %w", err)
	}
	// The g keeps an all-digit hash with a leading zero a legal version.
	version := "0.1.0-dev.g" + sum[:12]
	dir := filepath.Join(site.Mirror(), filepath.FromSlash(terraform.LocalDBSource), version, platform())
	p := terraform.Plugin{
		Source: terraform.LocalDBSource, Version: version,
		Path: filepath.Join(dir, "terraform-provider-localdb_v"+version),
	}
	if _, err := os.Stat(p.Path); err == nil {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), layTimeout)
	defer cancel()
	err = withLock(ctx, filepath.Join(site.Mirror(), ".lock"), func() error {
		if _, err := os.Stat(p.Path); err == nil {
			return nil
		}
		return layPlugin(pluginBinary, dir, p.Path, sum)
	})
	if err != nil {
		return terraform.Plugin{}, fmt.Errorf("plugin mirror: %w", err)
	}
	return p, nil
}

// layPlugin copies the plugin: a link would change with the next build. It is checked, synced and made whole before it gets its name.
func layPlugin(source, dir, target, sum string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	// Beside the package's directory: terraform hashes every file in it.
	out, err := os.CreateTemp(filepath.Dir(dir), tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), in)
	err = errors.Join(err, out.Chmod(0o755), out.Sync(), out.Close())
	if err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != sum {
		return fmt.Errorf("%s changed while it was copied", source)
	}
	return os.Rename(out.Name(), target)
}

func fileSum(path string) (_ string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
