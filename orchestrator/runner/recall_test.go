package runner

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"os"
	"testing"

	"meridian/persistence/journal"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// TestRecall makes a spool of the version before one of today's, whatever of that an earlier try has done: its record keeps runners of the version
// before away, the newest state is sealed, and none is in clear.
func TestRecall(t *testing.T) {
	id := stacks.StackID{Namespace: "n", Name: "n", Incarnation: "i", Region: "r"}
	one, err := terraform.RaiseSerial(terraform.EmptyState(id))
	fatal(t, err)
	two, err := terraform.RaiseSerial(one)
	fatal(t, err)
	file, err := terraform.ReadState(one)
	fatal(t, err)
	inClear := func(state []byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(state, castagnoli)), state...)
	}
	for name, c := range map[string]struct {
		clear  []byte // what the file in clear has
		sealed []byte // the state that is sealed already
		format int
		want   []byte
	}{
		"in clear":                    {clear: inClear(one), format: 1, want: one},
		"of no format":                {clear: inClear(one), want: one},
		"sealed by a try before":      {clear: inClear(one), sealed: one, format: 2, want: one},
		"an older one is left":        {clear: inClear(one), sealed: two, format: 2, want: two},
		"the record alone was raised": {clear: inClear(two), format: 2, want: two},
		"damaged":                     {clear: inClear(one)[1:], format: 1},
		"nothing":                     {format: 1},
		"sealed":                      {sealed: two, format: 2, want: two},
	} {
		t.Run(name, func(t *testing.T) {
			w := &worker{site: terraform.Site{Root: t.TempDir()}, keys: testRing(t), log: slog.New(slog.DiscardHandler)}
			sp := spool{w.site.SpoolDir(id)}
			fatal(t, sp.begin(attempt{ID: "a1", Stack: id, Lineage: file.Lineage, Serial: 1, Format: c.format}))
			if c.clear != nil {
				fatal(t, os.WriteFile(sp.path(terraform.StateInClear), c.clear, 0o600))
			}
			if c.sealed != nil {
				fatal(t, sp.putSnapshot(w.keys, id, c.sealed))
			}
			att, _, err := sp.attempt()
			fatal(t, err)
			r := w.newRun(att, journal.Step{})
			fatal(t, r.recall())
			var got []byte
			if st := r.newestState(); st != nil {
				got = st.Payload
			}
			kept, err := sp.snapshot(w.keys, id)
			if !bytes.Equal(got, c.want) || !bytes.Equal(kept, c.want) || err != nil {
				t.Errorf("recalled %s, kept %s, %v, want %s", got, kept, err, c.want)
			}
			if att, _, err := sp.attempt(); err != nil || att.Format != attemptFormat || sp.has(terraform.StateInClear) {
				t.Errorf("format %d, %v, in clear: %v", att.Format, err, sp.has(terraform.StateInClear))
			}
		})
	}
}

// BenchmarkPutSnapshot is what it costs to keep a state of 5 MB, sealed and as it is.
func BenchmarkPutSnapshot(b *testing.B) {
	id := stacks.StackID{Namespace: "n", Name: "n", Incarnation: "i", Region: "r"}
	state, keys, s := bytes.Repeat([]byte(`{"attribute": "value"}`+"\n"), 5<<20/23), testRing(b), spool{b.TempDir()}
	b.Run("sealed", func(b *testing.B) {
		for b.Loop() {
			if err := s.putSnapshot(keys, id, state); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("in clear", func(b *testing.B) {
		for b.Loop() {
			if err := writeWhole(s.path(terraform.StateInClear), state, true); err != nil {
				b.Fatal(err)
			}
		}
	})
}
