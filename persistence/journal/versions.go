package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"meridian/persistence/store"
	"meridian/stacks"
)

// Version names one kept state of a stack; its text is "epoch.fence.serial".
type Version struct {
	Epoch, Fence, Serial int64
}

// String is the version's text.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Epoch, v.Fence, v.Serial) }

// ParseVersion reads what String wrote.
func ParseVersion(text string) (Version, error) {
	var n [3]int64
	parts := strings.Split(text, ".")
	if len(parts) != len(n) {
		return Version{}, fmt.Errorf("version %q: want EPOCH.FENCE.SERIAL, like 1.4.7", text)
	}
	for i, p := range parts {
		var err error
		if n[i], err = strconv.ParseInt(p, 10, 64); err != nil || n[i] < 0 {
			return Version{}, fmt.Errorf("version %q: want EPOCH.FENCE.SERIAL, like 1.4.7", text)
		}
	}
	return Version{n[0], n[1], n[2]}, nil
}

// Version is the name of a kept state.
func (s State) Version() Version { return Version{s.Fence.Epoch, s.Fence.Number, s.Serial} }

// The kinds of edits: what an edit's attempt starts with.
const (
	EditRestore   = "restore"
	EditTerraform = "tf"
)

// Edit is the kind of edit that kept this state, or "" where a step or the stack's birth did.
func (s State) Edit() string {
	for _, kind := range []string{EditRestore, EditTerraform} {
		if strings.HasPrefix(s.Fence.Attempt, kind+"-") {
			return kind
		}
	}
	return ""
}

// StateInfo is one kept state without its payload, and what made it.
type StateInfo struct {
	State
	// Step and Run are empty where no step is known to have written it: the stack's birth, an edit.
	Step, Run string
}

// States lists the kept states of a stack, newest first; ErrNotFound where there is no such stack.
func (j *Journal) States(ctx context.Context, id stacks.StackID) (out []StateInfo, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		out = nil
		if _, err := readHead(tx, id); err != nil {
			return err
		}
		rows, err := tx.Query(`SELECT s.epoch, s.fence, s.serial, s.attempt, s.lineage, s.sha256, s.at, coalesce(p.id, ''), coalesce(p.run, '')
			FROM states s LEFT JOIN steps p ON p.id = (SELECT min(e.step) FROM events e WHERE e.stack = s.stack AND e.epoch = s.epoch AND e.fence = s.fence)
			WHERE s.stack = ? ORDER BY s.epoch DESC, s.fence DESC, s.serial DESC`, id.String())
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			s := StateInfo{State: State{Stack: id}}
			var at int64
			if err := rows.Scan(&s.Fence.Epoch, &s.Fence.Number, &s.Serial, &s.Fence.Attempt, &s.Lineage, &s.SHA256, &at, &s.Step, &s.Run); err != nil {
				return err
			}
			s.At = fromMicros(at)
			out = append(out, s)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("states of %s: %w", id, err)
	}
	return out, nil
}

// State reads one kept state and verifies its checksum; ErrNotFound, ErrChecksum.
func (j *Journal) State(ctx context.Context, id stacks.StackID, v Version) (s State, err error) {
	err = j.st.Read(ctx, func(tx *store.Tx) error {
		s, err = j.readState(tx, id, "AND epoch = ? AND fence = ? AND serial = ?", v.Epoch, v.Fence, v.Serial)
		return err
	})
	return s, err
}

// LastStep is the newest step of a stack; ErrNotFound.
func (j *Journal) LastStep(ctx context.Context, id stacks.StackID) (Step, error) {
	var step string
	err := j.st.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT id FROM steps WHERE stack = ? ORDER BY created_at DESC, id DESC LIMIT 1", id.String()).Scan(&step)
	})
	if err != nil {
		return Step{}, fmt.Errorf("newest step of %s: %w", id, notFound(err))
	}
	return j.Step(ctx, step)
}

// LastStack is a stack as its newest step had it rendered; ErrNotFound.
func (j *Journal) LastStack(ctx context.Context, id stacks.StackID) (stacks.Stack, error) {
	s, err := j.LastStep(ctx, id)
	return s.Stack, err
}

// EditInput is a state that a person wants to be the newest, in place of the one that was looked at.
type EditInput struct {
	Stack stacks.StackID
	// Expect is the newest state that the person saw.
	Expect Version
	// Payload is the wished state; its serial becomes the next one.
	Payload []byte
	// Kind is EditRestore or EditTerraform; ID tells this edit from all others.
	Kind, ID string
}

// EditState, within tx, keeps a state as the newest of an idle stack, under a fence of its own, so that no attempt from before can write any
// more and no plan from before can be applied. It refuses a head that runs (ErrRunning), a newest state that is not the expected one
// (ErrStale), and a payload of another lineage.
func (j *Journal) EditState(ctx context.Context, tx *store.Tx, in EditInput) (State, error) {
	if in.ID == "" || (in.Kind != EditRestore && in.Kind != EditTerraform) {
		return State{}, errors.New("edit a state: the edit has no kind or no ID")
	}
	h, err := readHead(tx, in.Stack)
	if err != nil {
		return State{}, err
	}
	if h.Status == HeadRunning {
		return State{}, fmt.Errorf("stack %s, attempt %s: %w", in.Stack, h.Fence.Attempt, ErrRunning)
	}
	newest, err := j.latestState(tx, in.Stack)
	if err != nil && !errors.Is(err, ErrChecksum) {
		return State{}, err
	}
	if newest.Version() != in.Expect {
		return State{}, fmt.Errorf("stack %s: its newest state is %s, not %s: %w", in.Stack, newest.Version(), in.Expect, ErrStale)
	}
	epoch, err := currentEpoch(tx)
	if err != nil {
		return State{}, err
	}
	s := State{
		Stack: in.Stack, Fence: Fence{Epoch: epoch, Number: h.Fence.Number + 1, Attempt: in.Kind + "-" + in.ID},
		Serial: max(h.Serial, newest.Serial) + 1, Lineage: h.Lineage, At: time.Now(),
	}
	if s.Payload, err = withSerial(in.Payload, s.Serial); err != nil {
		return State{}, err
	}
	s.SHA256 = sum(s.Payload)
	if err := checkState(s); err != nil {
		return State{}, fmt.Errorf("edit the state of %s: %w", in.Stack, err)
	}
	r, err := tx.ExecContext(ctx, `UPDATE heads SET epoch = ?, fence = ?, attempt = ?, step = '', run = '', desired = '', shipped = 0, step_base = 0
		WHERE stack = ? AND epoch = ? AND fence = ? AND attempt = ?`,
		s.Fence.Epoch, s.Fence.Number, s.Fence.Attempt, in.Stack.String(), h.Fence.Epoch, h.Fence.Number, h.Fence.Attempt)
	if err != nil {
		return State{}, fmt.Errorf("take the fence: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return State{}, errors.Join(err, fmt.Errorf("take the fence of %s: %w", in.Stack, ErrFenced))
	}
	if err := j.putState(tx, s); err != nil {
		return State{}, err
	}
	return s, tx.Notify("head", in.Stack.String())
}

// withSerial is a state with another serial; everything else stays as it is written.
func withSerial(payload []byte, serial int64) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil || fields == nil {
		return nil, errors.New("the state is no JSON object") // the error itself may quote the state
	}
	fields["serial"] = json.RawMessage(strconv.FormatInt(serial, 10))
	return json.MarshalIndent(fields, "", "  ")
}
