// Package keyring encrypts at rest: AES-256-GCM under a key of the ring, the key's ID in front of the ciphertext, the row's
// identity as additional data so that a ciphertext cannot be moved to another row.
//
// It must never write a key anywhere but its own 0600 file, and never make a new ring where sealed data exists.
package keyring

// Keyring seals and opens with the keys it holds; the newest one seals.
type Keyring struct{}

// Source says where the ring comes from: a file under the data directory (default, made on first start), a command's output or an environment variable.
type Source struct {
	Dir     string
	Command []string
	Env     string
}

// Open reads the ring. With create false (sealed data exists) a missing ring is an error that says how to bring it back.
func Open(src Source, create bool) (*Keyring, error) { panic("todo") }

// Seal encrypts plain, bound to context (the table and key of its row).
func (k *Keyring) Seal(plain []byte, context string) ([]byte, error) { panic("todo") }

// Open decrypts what Seal made under the same context.
func (k *Keyring) Open(sealed []byte, context string) ([]byte, error) { panic("todo") }
