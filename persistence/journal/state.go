package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/stacks"
)

// ErrChecksum means that a state or artifact does not have the checksum that was stored with it.
var ErrChecksum = errors.New("the checksum does not match")

// LatestState reads the newest state of a stack, by (fence, serial), and verifies its checksum.
func (j *Journal) LatestState(ctx context.Context, id stacks.StackID) (s State, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		s, err = j.latestState(tx, id)
		return err
	})
	return s, err
}

func (j *Journal) latestState(tx *store.Tx, id stacks.StackID) (State, error) {
	return j.readState(tx, id, "ORDER BY epoch DESC, fence DESC, serial DESC LIMIT 1")
}

// readState reads one state, chosen by which, and verifies it. Of a damaged one everything but the payload is returned beside the error.
func (j *Journal) readState(tx *store.Tx, id stacks.StackID, which string, args ...any) (State, error) {
	s := State{Stack: id}
	var at int64
	var sealed []byte
	err := tx.QueryRow("SELECT epoch, fence, attempt, serial, lineage, sha256, at, sealed FROM states WHERE stack = ? "+which, append([]any{id.String()}, args...)...).
		Scan(&s.Fence.Epoch, &s.Fence.Number, &s.Fence.Attempt, &s.Serial, &s.Lineage, &s.SHA256, &at, &sealed)
	if err != nil {
		return State{}, fmt.Errorf("state of %s: %w", id, notFound(err))
	}
	s.At = fromMicros(at)
	plain, err := j.unseal(sealed, stateContext(s))
	if errors.Is(err, keyring.ErrLost) {
		return s, err
	}
	if err != nil {
		return s, fmt.Errorf("state %s of %s: %w: %w", s.Version(), id, ErrChecksum, err)
	}
	if sum(plain) != s.SHA256 {
		return s, fmt.Errorf("state %s of %s: %w", s.Version(), id, ErrChecksum)
	}
	s.Payload = plain
	return s, nil
}

// putState keeps one version of a state and makes the head name it.
func (j *Journal) putState(tx *store.Tx, s State) error {
	sealed, err := j.seal(s.Payload, stateContext(s))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO states (stack, epoch, fence, serial, attempt, lineage, sha256, at, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.Stack.String(), s.Fence.Epoch, s.Fence.Number, s.Serial, s.Fence.Attempt, s.Lineage, sum(s.Payload), micros(s.At), sealed)
	if err != nil {
		return fmt.Errorf("keep state %d of %s: %w", s.Serial, s.Stack, err)
	}
	if _, err := tx.Exec("UPDATE heads SET serial = ?, lineage = ? WHERE stack = ?", s.Serial, s.Lineage, s.Stack.String()); err != nil {
		return fmt.Errorf("keep state %d of %s: %w", s.Serial, s.Stack, err)
	}
	return nil
}

// checkState refuses a snapshot whose serial, lineage or checksum are not those of its payload.
func checkState(s State) error {
	serial, lineage, err := readSerial(s.Payload)
	if err != nil {
		return err
	}
	if serial != s.Serial || lineage != s.Lineage {
		return fmt.Errorf("the state says serial %d and lineage %q, its payload %d and %q", s.Serial, s.Lineage, serial, lineage)
	}
	if s.SHA256 != "" && s.SHA256 != sum(s.Payload) {
		return fmt.Errorf("state %d: %w", s.Serial, ErrChecksum)
	}
	return nil
}

// readSerial reads the two fields of a state that order it.
func readSerial(payload []byte) (serial int64, lineage string, err error) {
	var s struct {
		Serial  int64  `json:"serial"`
		Lineage string `json:"lineage"`
	}
	if err := json.Unmarshal(payload, &s); err != nil {
		// The error is not wrapped: it may quote the state.
		return 0, "", errors.New("the state is no JSON object with a serial and a lineage")
	}
	return s.Serial, s.Lineage, nil
}

func stateContext(s State) string {
	return rowContext("states", s.Stack, s.Fence.Epoch, s.Fence.Number, s.Serial)
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
