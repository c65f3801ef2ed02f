package orchestrator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"meridian/orchestrator/workflows"
	"meridian/stacks"
)

// slowTemporal is a fake of Temporal's schedules: it keeps what it was told, and takes its time for each.
type slowTemporal struct {
	client.ScheduleClient
	takes time.Duration
	notes map[string]string
	made  int
}

// schedulesOf is a client of Temporal that has nothing but schedules.
type schedulesOf struct {
	client.Client
	schedules *slowTemporal
}

func (c schedulesOf) ScheduleClient() client.ScheduleClient { return c.schedules }

func (s *slowTemporal) Create(_ context.Context, o client.ScheduleOptions) (client.ScheduleHandle, error) {
	<-time.After(s.takes)
	s.notes[o.ID] = o.Note
	s.made++
	return nil, nil
}

func (s *slowTemporal) GetHandle(_ context.Context, id string) client.ScheduleHandle {
	return goneSchedule{gone: func() { delete(s.notes, id) }}
}

type goneSchedule struct {
	client.ScheduleHandle
	gone func()
}

func (h goneSchedule) Delete(context.Context) error { h.gone(); return nil }

// TestOneLookMakesNotAllSchedules: an empty Temporal lacks as many schedules as there are databases. One look makes some, for no longer than looks
// are apart, the next goes on, and none is made twice. Another key makes all anew, in the same way.
func TestOneLookMakesNotAllSchedules(t *testing.T) {
	const databases = 40
	fake := &slowTemporal{takes: 5 * time.Millisecond, notes: map[string]string{}}
	key := ""
	s := &schedules{
		temporal: schedulesOf{schedules: fake}, installation: "inst", timing: stacks.Timing{ReconcileEvery: 50 * time.Millisecond}, made: map[string]made{},
		key: func() (string, error) { return key, nil },
	}
	want := map[string]time.Duration{}
	for i := range databases {
		want[workflows.ScheduleID("inst", fmt.Sprintf("db%d", i))] = time.Hour
	}
	for _, key = range []string{"", "aaaaaaaa", "bbbbbbbb"} {
		fake.made = 0
		looks := 0
		for ; fake.made < databases; looks++ {
			before := fake.made
			if err := s.agree(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if n := fake.made - before; n == 0 || n > 11 { // at least one, and no more than fit in, whatever the machine does
				t.Fatalf("key %q: one look made %d of %d schedules, want 1 to 11", key, n, databases)
			}
		}
		if looks < 4 {
			t.Errorf("key %q: %d looks made all", key, looks)
		}
		if err := s.agree(t.Context(), want); err != nil || fake.made != databases {
			t.Errorf("key %q: %d schedules were made for %d databases: %v", key, fake.made, databases, err)
		}
		if notes := slices.Compact(slices.Sorted(maps.Values(fake.notes))); len(fake.notes) != databases || !slices.Equal(notes, []string{noteOf(time.Hour, key)}) {
			t.Errorf("key %q: Temporal has %d schedules with the notes %q", key, len(fake.notes), notes)
		}
	}
	if err := s.agree(t.Context(), nil); err != nil || len(fake.notes) != 0 {
		t.Errorf("nobody wants them, and %d are left: %v", len(fake.notes), err)
	}
}

// TestNotes: what a schedule says of itself is read as it was said.
func TestNotes(t *testing.T) {
	for note, want := range map[string]struct {
		every time.Duration
		key   string
		ok    bool
	}{
		noteOf(time.Hour, ""):         {time.Hour, "", true},
		noteOf(time.Hour, "abcdefgh"): {time.Hour, "abcdefgh", true},
		"":                            {},
		"1":                           {},
		"1 soon":                      {},
		"1 1h0m0s abcdefgh more":      {},
	} {
		if every, key, ok := readNote(note); ok != want.ok || ok && (every != want.every || key != want.key) {
			t.Errorf("%q: %s %q %t", note, every, key, ok)
		}
	}
}
