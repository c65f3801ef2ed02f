package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"meridian/persistence/store"
)

func TestSealedRowsAreFoundAndRewritten(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir())
	if found, err := s.Sealed(ctx); err != nil || found {
		t.Fatalf("a new store has sealed data: %v, %v", found, err)
	}
	if err := s.Write(ctx, func(tx *store.Tx) error {
		for i := range 50 {
			if _, err := tx.Exec("INSERT INTO secrets (incarnation, name, created_at, sealed) VALUES ('inc', ?, 0, ?)", fmt.Sprint(i), []byte("old:"+fmt.Sprint(i))); err != nil {
				return err
			}
		}
		_, err := tx.Exec("INSERT INTO links (incarnation, name, phase, run_number, lag_us, sealed) VALUES ('inc', 'l', '', 0, 0, ?)", []byte("new:l"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Sealed(ctx); err != nil || !found {
		t.Fatalf("sealed data is not found: %v, %v", found, err)
	}
	prefixes := func() []string {
		p, err := s.SealedPrefixes(ctx, 4)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]string, len(p))
		for i := range p {
			out[i] = string(p[i])
		}
		return out
	}
	if p := prefixes(); !slices.Equal(p, []string{"new:", "old:"}) {
		t.Fatalf("prefixes %q", p)
	}
	counts, err := s.SealedCounts(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, c := range counts {
		got = append(got, fmt.Sprintf("%s %s %d", c.Table, c.Prefix, c.Rows))
	}
	if want := []string{"links new: 1", "secrets old: 50"}; !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
	boom := errors.New("boom")
	calls := 0
	rewrite := func(failAt int) error {
		return s.RewriteSealed(ctx, "secrets", []string{"incarnation", "name"}, []byte("new:"), func(key []string, sealed []byte) ([]byte, error) {
			if calls++; calls == failAt {
				return nil, boom
			}
			if key[0] != "inc" || string(sealed) != "old:"+key[1] {
				t.Errorf("row %q holds %q", key, sealed)
			}
			return []byte("new:" + key[1]), nil
		})
	}
	if err := rewrite(40); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if p := prefixes(); !slices.Equal(p, []string{"new:", "old:"}) {
		t.Fatalf("prefixes after a broken rewrite: %q", p)
	}
	calls = 0
	if err := rewrite(-1); err != nil {
		t.Fatal(err)
	}
	if calls == 0 || calls >= 50 {
		t.Errorf("the second rewrite worked on %d rows: it did not go on from the first", calls)
	}
	if p := prefixes(); !slices.Equal(p, []string{"new:"}) {
		t.Fatalf("prefixes after the rewrite: %q", p)
	}
}

func TestRewriteLeavesARowThatChangedMeanwhile(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir())
	set := func(v string) error {
		return s.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO secrets (incarnation, name, created_at, sealed) VALUES ('i', 'n', 0, ?) ON CONFLICT (incarnation, name) DO UPDATE SET sealed = excluded.sealed", []byte(v))
			return err
		})
	}
	if err := set("old:1"); err != nil {
		t.Fatal(err)
	}
	err := s.RewriteSealed(ctx, "secrets", []string{"incarnation", "name"}, []byte("new:"), func([]string, []byte) ([]byte, error) {
		return []byte("new:1"), set("new:2")
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	if scan(t, s, "SELECT sealed FROM secrets", &got); string(got) != "new:2" {
		t.Fatalf("the row is %q: a newer value was overwritten", got)
	}
}
