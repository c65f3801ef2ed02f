package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Artifact reads one artifact and verifies its digest; ErrNotFound.
func (j *Journal) Artifact(ctx context.Context, id string) (Artifact, error) {
	return j.artifact(ctx, "artifact "+id, "id = ?", id)
}

// FindArtifact returns the first artifact made for (run, stack digest, state serial); ErrNotFound.
func (j *Journal) FindArtifact(ctx context.Context, run string, id stacks.StackID, stackDigest string, serial int64) (Artifact, error) {
	return j.artifact(ctx, "artifact of run "+run, "run = ? AND stack = ? AND stack_digest = ? AND state_serial = ?", run, id.String(), stackDigest, serial)
}

func (j *Journal) artifact(ctx context.Context, what, where string, args ...any) (a Artifact, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		a, err = j.readArtifact(tx, where, args...)
		return err
	})
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", what, err)
	}
	return a, nil
}

func (j *Journal) readArtifact(tx *store.Tx, where string, args ...any) (Artifact, error) {
	var id, digest string
	var sealed []byte
	if err := tx.QueryRow("SELECT id, digest, sealed FROM artifacts WHERE "+where, args...).Scan(&id, &digest, &sealed); err != nil {
		return Artifact{}, notFound(err)
	}
	var a Artifact
	if err := j.unsealJSON(sealed, rowContext("artifacts", id), &a); err != nil {
		return Artifact{}, err
	}
	if a.ID != id || a.Digest != digest {
		return Artifact{}, ErrChecksum
	}
	return a, checkArtifact(a)
}

func (j *Journal) sealArtifact(a Artifact) ([]byte, error) {
	if a.CreatedAt.IsZero() {
		a.CreatedAt = time.Now().UTC()
	}
	return j.sealJSON(a, rowContext("artifacts", a.ID))
}

// putArtifact stores an artifact, and returns the one that was there first.
func (j *Journal) putArtifact(tx *store.Tx, a Artifact, sealed []byte) (Artifact, error) {
	r, err := tx.Exec(`INSERT INTO artifacts (id, run, stack, digest, stack_digest, state_serial, created_at, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		a.ID, a.Run, a.Stack.String(), a.Digest, a.StackDigest, a.StateSerial, micros(time.Now()), sealed)
	if err != nil {
		return Artifact{}, fmt.Errorf("keep artifact %s: %w", a.ID, err)
	}
	n, err := r.RowsAffected()
	if err != nil || n == 1 {
		return a, err
	}
	first, err := j.readArtifact(tx, "run = ? AND stack = ? AND stack_digest = ? AND state_serial = ?", a.Run, a.Stack.String(), a.StackDigest, a.StateSerial)
	if err != nil {
		return Artifact{}, fmt.Errorf("keep artifact %s, whose ID another one has: %w", a.ID, err)
	}
	return first, nil
}

// checkArtifact refuses an artifact without a plan file of its digest.
func checkArtifact(a Artifact) error {
	if a.ID == "" || a.Run == "" || a.StackDigest == "" {
		return errors.New("an artifact needs an ID, a run and a stack digest")
	}
	if !slices.ContainsFunc(a.Files, func(f stacks.File) bool { return sum(f.Content) == a.Digest }) {
		return fmt.Errorf("artifact %s, none of whose files has its digest: %w", a.ID, ErrChecksum)
	}
	return nil
}
