package catalog

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// RegionPackage says what the module of a region of a revision is.
type RegionPackage struct {
	Region string
	// Source is what was asked for; Archive the digest of the files that a client packed, "" where the source is no path of a client's.
	Source  stacks.ModuleSource
	Archive string
	// Resolved is the commit or the exact version, Digest that of the package.
	Resolved string
	Digest   string
}

// packageGrace is how long a package that no revision names is kept: a submission stores it before its revision.
const packageGrace = time.Hour

// PutPackage keeps a package, by its digest; sealed, for whoever writes a module may write anything into it. It compresses.
func (c *Catalog) PutPackage(ctx context.Context, p stacks.Package) error {
	var known bool
	err := c.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT EXISTS (SELECT 1 FROM packages WHERE digest = ?)", p.Digest).Scan(&known)
	})
	if err != nil || known {
		return err
	}
	var text bytes.Buffer
	z := gzip.NewWriter(&text)
	if err := errors.Join(json.NewEncoder(z).Encode(p), z.Close()); err != nil {
		return fmt.Errorf("package %s: %w", p.Digest, err)
	}
	sealed, err := c.keys.Seal(text.Bytes(), rowContext("packages", p.Digest))
	if err != nil {
		return fmt.Errorf("package %s: %w", p.Digest, err)
	}
	return c.st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO packages (digest, created_at, sealed) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", p.Digest, now().UnixMicro(), sealed)
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Digest, err)
		}
		return nil
	})
}

// Package reads a package; ErrNotFound.
func (c *Catalog) Package(ctx context.Context, digest string) (p stacks.Package, err error) {
	var sealed []byte
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT sealed FROM packages WHERE digest = ?", digest).Scan(&sealed)
	})
	if err != nil {
		return p, fmt.Errorf("package %s: %w", digest, notFound(err))
	}
	plain, err := c.keys.Open(sealed, rowContext("packages", digest))
	if err != nil {
		return p, err
	}
	z, err := gzip.NewReader(bytes.NewReader(plain))
	if err != nil {
		return p, fmt.Errorf("package %s: %w", digest, err)
	}
	text, err := io.ReadAll(z)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("package %s: %w", digest, err)
	}
	return p, nil
}

// RegionPackage reads what a region of a revision is made of (0: of the newest revision); ErrNotFound.
func (c *Catalog) RegionPackage(ctx context.Context, incarnation string, revision int64, region string) (p RegionPackage, err error) {
	err = c.st.Read(ctx, func(tx *store.Tx) error {
		if revision == 0 {
			r, err := readRevision(tx, incarnation, 0)
			if err != nil {
				return err
			}
			revision = r.Number
		}
		p, err = scanPackage(tx.QueryRow(packageQuery+" AND region = ?", incarnation, revision, region))
		return err
	})
	if err != nil {
		return p, fmt.Errorf("module of region %s: %w", region, err)
	}
	return p, nil
}

const packageQuery = "SELECT region, source, archive, resolved, digest FROM region_packages WHERE incarnation = ? AND revision = ?"

func scanPackage(row scanner) (RegionPackage, error) {
	var p RegionPackage
	var source string
	if err := row.Scan(&p.Region, &source, &p.Archive, &p.Resolved, &p.Digest); err != nil {
		return p, notFound(err)
	}
	return p, json.Unmarshal([]byte(source), &p.Source)
}

// samePackages reports whether a revision is made of these packages.
func samePackages(tx *store.Tx, incarnation string, revision int64, want []RegionPackage) (bool, error) {
	rows, err := tx.Query(packageQuery, incarnation, revision)
	if err != nil {
		return false, fmt.Errorf("modules of revision %d: %w", revision, err)
	}
	defer func() { _ = rows.Close() }()
	have := map[string]string{}
	for rows.Next() {
		p, err := scanPackage(rows)
		if err != nil {
			return false, fmt.Errorf("modules of revision %d: %w", revision, err)
		}
		have[p.Region] = p.Digest
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	for _, p := range want {
		if have[p.Region] != p.Digest {
			return false, nil
		}
	}
	return len(have) == len(want), nil
}

func putPackages(tx *store.Tx, incarnation string, revision int64, ps []RegionPackage) error {
	for _, p := range ps {
		source, err := json.Marshal(p.Source)
		if err != nil {
			return fmt.Errorf("module of region %s: %w", p.Region, err)
		}
		_, err = tx.Exec("INSERT INTO region_packages (incarnation, revision, region, source, archive, resolved, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
			incarnation, revision, p.Region, string(source), p.Archive, p.Resolved, p.Digest)
		if err != nil {
			return fmt.Errorf("module of region %s: %w", p.Region, err)
		}
	}
	return nil
}

// forgetPackages forgets what a database was made of, and the packages that nobody needs any more.
func forgetPackages(tx *store.Tx, incarnation string) error {
	if _, err := tx.Exec("DELETE FROM region_packages WHERE incarnation = ?", incarnation); err != nil {
		return fmt.Errorf("modules of %s: %w", incarnation, err)
	}
	_, err := tx.Exec("DELETE FROM packages WHERE created_at < ? AND digest NOT IN (SELECT digest FROM region_packages)", now().Add(-packageGrace).UnixMicro())
	if err != nil {
		return fmt.Errorf("modules that nobody needs: %w", err)
	}
	return nil
}
