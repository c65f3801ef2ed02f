package directory_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"meridian/providers"
	"meridian/providers/local/directory"
)

func spec(t *testing.T) directory.Spec {
	return directory.Spec{Path: filepath.Join(t.TempDir(), "below", "dir"), Owner: "test/" + t.Name(), Note: "first"}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestLifeOfADirectory(t *testing.T) {
	t.Parallel()
	s := spec(t)
	if _, err := directory.Look(s.Path, s.Owner); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before its birth: %v", err)
	}
	made := must[directory.Mark](t)(directory.Create(s))
	if made.Birth == "" || made.Spec != s {
		t.Fatalf("%+v", made)
	}
	if _, err := directory.Create(s); !errors.Is(err, directory.ErrExists) {
		t.Fatalf("a second create: %v", err)
	}
	s.Note = "second"
	changed := must[directory.Mark](t)(directory.Update(s))
	if seen := must[directory.Mark](t)(directory.Look(s.Path, s.Owner)); seen != changed || seen.Birth != made.Birth || seen.Note != "second" {
		t.Fatalf("%+v, want the birth of %+v", seen, made)
	}
	if err := os.MkdirAll(filepath.Join(s.Path, "dumps", "monday"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // removing it again is no error
		if err := directory.Remove(s.Path, s.Owner); err != nil {
			t.Fatal(err)
		}
	}
	if entries := must[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(s.Path))); len(entries) > 0 {
		t.Fatalf("%v stays", entries)
	}
}

func TestWhatIsForeignIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, lay := range map[string]func(t *testing.T, s directory.Spec){
		"another owner": func(t *testing.T, s directory.Spec) {
			s.Owner = "somebody/else"
			must[directory.Mark](t)(directory.Create(s))
		},
		"no mark": func(t *testing.T, s directory.Spec) {
			if err := errors.Join(os.MkdirAll(s.Path, 0o700), os.WriteFile(filepath.Join(s.Path, "thesis.tex"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
		"half a mark": func(t *testing.T, s directory.Spec) {
			if err := errors.Join(os.MkdirAll(s.Path, 0o700), os.WriteFile(filepath.Join(s.Path, "meridian.json"), []byte("{"), 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := spec(t)
			lay(t, s)
			before := must[[]os.DirEntry](t)(os.ReadDir(s.Path))
			_, created := directory.Create(s)
			_, updated := directory.Update(s)
			for what, err := range map[string]error{"create": created, "update": updated, "remove": directory.Remove(s.Path, s.Owner)} {
				if !errors.Is(err, providers.ErrForeign) {
					t.Errorf("%s: %v, want it refused as foreign", what, err)
				}
			}
			if after := must[[]os.DirEntry](t)(os.ReadDir(s.Path)); len(after) != len(before) {
				t.Errorf("%v became %v", before, after)
			}
		})
	}
}

// TestKilledInTheMiddle lays what a killed create leaves; the next create takes it, and a removal removes it.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	lay := func(t *testing.T) directory.Spec {
		s := spec(t)
		if err := errors.Join(os.MkdirAll(s.Path, 0o700), os.WriteFile(filepath.Join(s.Path, "meridian.json.123"), []byte("{"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if m := must[directory.Mark](t)(directory.Look(s.Path, s.Owner)); m.Birth != "" {
			t.Fatalf("%+v", m)
		}
		return s
	}
	s := lay(t)
	if m := must[directory.Mark](t)(directory.Create(s)); m.Birth == "" {
		t.Fatalf("%+v", m)
	}
	s = lay(t)
	if err := directory.Remove(s.Path, s.Owner); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestOneOfManyCreatesWins(t *testing.T) {
	t.Parallel()
	s := spec(t)
	var won, lost atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			switch _, err := directory.Create(s); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, directory.ErrExists):
				lost.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Fatalf("%d won, %d lost", won.Load(), lost.Load())
	}
}
