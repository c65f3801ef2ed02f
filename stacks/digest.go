package stacks

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// RegionDigest is the digest of one region's plan file.
type RegionDigest struct {
	Region string
	Digest string
}

// RunDigest is the digest of a run's whole plan, the one that a person approves: the SHA-256, in hex, of its regions' digests in order of name.
func RunDigest(regions []RegionDigest) string {
	sorted := slices.SortedFunc(slices.Values(regions), func(a, b RegionDigest) int { return cmp.Compare(a.Region, b.Region) })
	h := sha256.New()
	for _, r := range sorted {
		fmt.Fprintf(h, "%d:%s%d:%s", len(r.Region), r.Region, len(r.Digest), r.Digest)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// digestFiles is the SHA-256, in hex, of files in order of path. Lengths are hashed too, so that no two sets of files look alike.
func digestFiles(files []File) string {
	sorted := slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	h := sha256.New()
	for _, f := range sorted {
		fmt.Fprintf(h, "%d:%s%d:", len(f.Path), f.Path, len(f.Content))
		h.Write(f.Content)
		if f.Exec {
			fmt.Fprint(h, "x:")
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
