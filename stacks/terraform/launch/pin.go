package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"meridian/stacks/terraform"
)

// pinDir is the directory of one version of a product: plans fit exactly that, and a released version is always the same program.
func pinDir(site terraform.Site, product, version string) string {
	return filepath.Join(site.Terraforms(), product+"-"+version)
}

// Pin keeps the program that makes a plan, so that the plan can be applied also where the machine's terraform is another one by then. It is a
// hard link where that can be, which costs nothing, else a copy. It may be called by several processes at once.
func Pin(site terraform.Site, b terraform.Binary) error {
	dir := pinDir(site, b.Product, b.Version)
	target := filepath.Join(dir, b.Product)
	if same, err := sameFile(target, b.Path); err != nil || same {
		return err
	}
	if script, err := isScript(b.Path); err != nil || script {
		return err // what it starts depends on more than its file
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep terraform: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("keep terraform: %w", err)
	}
	defer os.RemoveAll(tmp)
	fresh := filepath.Join(tmp, b.Product)
	if err := os.Link(b.Path, fresh); err != nil {
		err = copyProgram(b.Path, fresh)
		if err != nil {
			return fmt.Errorf("keep terraform: %w", err)
		}
	}
	if err := os.Rename(fresh, target); err != nil {
		return fmt.Errorf("keep terraform: %w", err)
	}
	return nil
}

// sameFile reports whether target is what path is: linked to it, or a copy of its size and date.
func sameFile(target, path string) (bool, error) {
	want, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("keep terraform: %w", err)
	}
	got, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("keep terraform: %w", err)
	}
	return os.SameFile(want, got) || want.Size() == got.Size() && want.ModTime().Equal(got.ModTime()), nil
}

func copyProgram(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime()) // so that it is told apart from what takes its original's place
}

// Pinned lists the programs of a version that are kept in the site, one per product. One that is not what its place says, for its original was
// written over, is none.
func Pinned(ctx context.Context, site terraform.Site, version string) (out []terraform.Binary) {
	for _, product := range []string{ProductTerraform, ProductTofu} {
		b, err := probe(ctx, site, filepath.Join(pinDir(site, product, version), product))
		if err == nil && b.Version == version && b.Product == product {
			out = append(out, b)
		}
	}
	return out
}

// PrunePins removes the kept programs that keep does not want by version, unless they were kept within the last hour: whoever is about to use one
// has not said so yet.
func PrunePins(site terraform.Site, now time.Time, keep func(version string) bool) error {
	var errs []error
	for _, entry := range listed(site.Terraforms()) {
		_, version, ok := strings.Cut(entry.Name(), "-")
		info, err := entry.Info()
		if err != nil || !ok || keep(version) || now.Sub(info.ModTime()) < pinGrace {
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(site.Terraforms(), entry.Name())))
	}
	return errors.Join(errs...)
}

const pinGrace = time.Hour
