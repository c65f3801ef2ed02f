package journal

import (
	"bytes"
	"fmt"
	"strings"

	"meridian/persistence/keyring"
	"meridian/stacks"
)

// spooledHead starts the first line of a spooled state. The line is in clear and says whose state it is; what follows is sealed under it, so that
// a state can be opened by its file alone, and never passes for another stack's.
const spooledHead = "meridian state of "

// maxSpooledHead bounds that line: the names of a stack are much shorter.
const maxSpooledHead = 1 << 10

// SealSpooled seals a state that is not in the store yet, for a runner's spool.
func SealSpooled(keys *keyring.Keyring, id stacks.StackID, state []byte) ([]byte, error) {
	head := spooledHead + id.String()
	sealed, err := keys.Seal(state, head)
	if err != nil {
		return nil, fmt.Errorf("seal the state of %s: %w", id, err)
	}
	return append([]byte(head+"\n"), sealed...), nil
}

// CheckSpooled reports whether the journal's ring opens a spooled state.
func (j *Journal) CheckSpooled(data []byte) error {
	_, _, err := OpenSpooled(j.keys, data)
	return err
}

// OpenSpooled opens what SealSpooled made, and tells whose state it is. It gives keyring.ErrTampered where data is not what was written, and
// keyring.ErrLost where it was sealed by a key that the ring does not have.
func OpenSpooled(keys *keyring.Keyring, data []byte) (id stacks.StackID, state []byte, err error) {
	head, _, whole := bytes.Cut(data[:min(len(data), maxSpooledHead)], []byte("\n"))
	name, ours := strings.CutPrefix(string(head), spooledHead)
	if !whole || !ours {
		return id, nil, fmt.Errorf("it does not say whose state it is: %w", keyring.ErrTampered)
	}
	if id, err = stacks.ParseStackID(name); err != nil {
		return id, nil, fmt.Errorf("%w: %w", keyring.ErrTampered, err)
	}
	state, err = keys.Open(data[len(head)+1:], string(head))
	return id, state, err
}
