// Package keyring encrypts at rest: AES-256-GCM under a key of the ring, the key's ID in front of the ciphertext, the row's
// identity as additional data so that a ciphertext cannot be moved to another row.
//
// It must never write a key anywhere but its own 0600 file, and never make a new ring where sealed data exists.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

// Errors of the keyring. Callers compare with errors.Is. None of them holds a key.
var (
	// ErrLost means that the ring, or the key that something was sealed with, is not there.
	ErrLost = errors.New("the key is lost")
	// ErrTampered means that a sealed value was changed, cut or moved to another row.
	ErrTampered = errors.New("the sealed value is not the one that was written here")
	// ErrBadRing means that the ring cannot be used as it is.
	ErrBadRing = errors.New("the keyring is not usable")
	// ErrInUse means that a key may not be retired yet.
	ErrInUse = errors.New("the key is still in use")
)

const (
	// version is the first byte of what Seal writes: version, key ID, nonce, ciphertext with tag.
	version = 1
	idLen   = 8
	keyLen  = 32
	// PrefixLen is how many first bytes of a sealed value tell its key.
	PrefixLen = 1 + idLen
)

// key is one key of the ring as its file holds it.
type key struct {
	ID      string    `json:"id"`
	Key     []byte    `json:"key"`
	Created time.Time `json:"created"`
}

// Keyring seals and opens with the keys it holds; the newest one seals. Safe for concurrent use. A ring in a file is read again
// when the file changes, so that a rotation reaches every process.
type Keyring struct {
	src Source

	mu    sync.RWMutex
	keys  []key // oldest first
	aead  map[string]cipher.AEAD
	stamp stamp
}

// Seal encrypts plain, bound to context (the table and key of its row).
func (k *Keyring) Seal(plain []byte, context string) ([]byte, error) {
	return k.AppendSealed(nil, plain, context)
}

// AppendSealed appends what Seal makes to dst: a state of some megabytes is not copied once more.
func (k *Keyring) AppendSealed(dst, plain []byte, context string) ([]byte, error) {
	if err := k.refresh(); err != nil {
		return nil, err
	}
	k.mu.RLock()
	id := k.keys[len(k.keys)-1].ID
	aead := k.aead[id]
	k.mu.RUnlock()
	head := prefix(id)
	out := append(slices.Grow(dst, PrefixLen+len(plain)+aead.Overhead()), head...)
	return aead.Seal(out, nil, plain, additional(head, context)), nil
}

// Open decrypts what Seal made under the same context.
func (k *Keyring) Open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) < PrefixLen || sealed[0] != version {
		return nil, fmt.Errorf("open %s: %w", context, ErrTampered)
	}
	id := string(sealed[1:PrefixLen])
	aead, err := k.find(id)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", context, err)
	}
	plain, err := aead.Open(nil, nil, sealed[PrefixLen:], additional(sealed[:PrefixLen], context))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", context, ErrTampered)
	}
	return plain, nil
}

// Prefix is what every value starts with that the newest key sealed.
func (k *Keyring) Prefix() []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return prefix(k.keys[len(k.keys)-1].ID)
}

// IDs lists the keys' IDs, oldest first. An ID tells nothing about its key.
func (k *Keyring) IDs() []string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := make([]string, len(k.keys))
	for i, key := range k.keys {
		out[i] = key.ID
	}
	return out
}

// Info is what may be known of a key.
type Info struct {
	ID string
	// Created is when it was made; zero where the ring does not say.
	Created time.Time
}

// Keys lists the keys as they are now, oldest first: the last one seals.
func (k *Keyring) Keys() ([]Info, error) {
	if err := k.refresh(); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := make([]Info, len(k.keys))
	for i, key := range k.keys {
		out[i] = Info{key.ID, key.Created}
	}
	return out, nil
}

// KeyOf is the ID of the key that sealed a value; at least its first PrefixLen bytes are wanted. It is empty for what no ring sealed.
func KeyOf(sealed []byte) string {
	if len(sealed) < PrefixLen || sealed[0] != version {
		return ""
	}
	return string(sealed[1:PrefixLen])
}

// Check reports whether the ring holds the key of each of these prefixes (the store lists them); ErrLost names the IDs that are missing.
func (k *Keyring) Check(prefixes [][]byte) error {
	var missing []string
	for _, p := range prefixes {
		if len(p) != PrefixLen || p[0] != version {
			return fmt.Errorf("a value that no keyring sealed: %w", ErrTampered)
		}
		if _, err := k.find(string(p[1:])); err != nil {
			missing = append(missing, string(p[1:]))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: data is sealed with %s (%s)", ErrLost, strings.Join(missing, ", "), k.src.bringBack())
	}
	return nil
}

// find returns the cipher of a key; an unknown key may have been added by another process since the ring was read.
func (k *Keyring) find(id string) (cipher.AEAD, error) {
	k.mu.RLock()
	aead := k.aead[id]
	k.mu.RUnlock()
	if aead != nil {
		return aead, nil
	}
	if err := k.refresh(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if aead = k.aead[id]; aead == nil {
		return nil, fmt.Errorf("%w: it was sealed with key %s (%s)", ErrLost, printable(id), k.src.bringBack())
	}
	return aead, nil
}

// use checks the keys and makes their ciphers.
func (k *Keyring) use(keys []key, s stamp) error {
	if len(keys) == 0 {
		return fmt.Errorf("%w: it holds no key", ErrBadRing)
	}
	aeads := map[string]cipher.AEAD{}
	for i, key := range keys {
		if len(key.Key) != keyLen {
			return fmt.Errorf("%w: key %d does not have %d bytes", ErrBadRing, i+1, keyLen)
		}
		if id := keyID(key.Key); key.ID != id {
			return fmt.Errorf("%w: key %d is not the one that its ID %s names", ErrBadRing, i+1, printable(key.ID))
		}
		block, err := aes.NewCipher(key.Key)
		if err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
		if aeads[key.ID], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.aead, k.stamp = keys, aeads, s
	return nil
}

// keyID is made from the key, so that one key has one ID wherever it comes from, and a damaged ring is noticed.
func keyID(k []byte) string {
	sum := sha256.Sum256(append([]byte("meridian keyring id\x00"), k...))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:idLen]
}

func prefix(id string) []byte { return append([]byte{version}, id...) }

// additional binds a ciphertext to its key and its row.
func additional(head []byte, context string) []byte {
	return append(append([]byte{}, head...), context...)
}

func printable(id string) string { return fmt.Sprintf("%.16q", id) }
