package journal

import (
	"bytes"
	"fmt"
	"strings"

	"meridian/persistence/keyring"
	"meridian/stacks"
)

// spooledHead starts the first line of what is spooled. The line is in clear and says of which stack it is; what follows is sealed under it, so that
// it can be opened by its file alone, and never passes for another stack's.
const spooledHead = "meridian, of "

// maxSpooledHead bounds that line: the names of a stack are much shorter.
const maxSpooledHead = 1 << 10

// SealSpooled seals what is not in the store yet, a state mostly, for a runner's spool.
func SealSpooled(keys *keyring.Keyring, id stacks.StackID, plain []byte) ([]byte, error) {
	head := spooledHead + id.String()
	sealed, err := keys.AppendSealed([]byte(head+"\n"), plain, head)
	if err != nil {
		return nil, fmt.Errorf("seal what is of %s: %w", id, err)
	}
	return sealed, nil
}

// CheckSpooled reports whether the journal's ring opens what SealSpooled made.
func (j *Journal) CheckSpooled(data []byte) error {
	_, _, err := OpenSpooled(j.keys, data)
	return err
}

// OpenSpooled opens what SealSpooled made, and tells of which stack it is. It gives keyring.ErrTampered where data is not what was written, and
// keyring.ErrLost where it was sealed by a key that the ring does not have.
func OpenSpooled(keys *keyring.Keyring, data []byte) (id stacks.StackID, plain []byte, err error) {
	head, _, whole := bytes.Cut(data[:min(len(data), maxSpooledHead)], []byte("\n"))
	name, ours := strings.CutPrefix(string(head), spooledHead)
	if !whole || !ours {
		return id, nil, fmt.Errorf("it does not say of which stack it is: %w", keyring.ErrTampered)
	}
	if id, err = stacks.ParseStackID(name); err != nil {
		return id, nil, fmt.Errorf("%w: %w", keyring.ErrTampered, err)
	}
	plain, err = keys.Open(data[len(head)+1:], string(head))
	return id, plain, err
}
