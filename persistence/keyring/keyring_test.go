package keyring_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/persistence/keyring"
)

func open(t *testing.T, src keyring.Source, create bool) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Open(src, create)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t *testing.T, k *keyring.Keyring, plain, row string) []byte {
	t.Helper()
	b, err := k.Seal([]byte(plain), row)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func opens(t *testing.T, k *keyring.Keyring, sealed []byte, row, want string) {
	t.Helper()
	got, err := k.Open(sealed, row)
	if err != nil || string(got) != want {
		t.Fatalf("opened %q, %v; want %q", got, err, want)
	}
}

func ringFile(dir string) string { return filepath.Join(dir, keyring.FileName) }

// keys reads the keys of a ring file, in base64.
func keys(t *testing.T, dir string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(ringFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	var r struct{ Keys []struct{ Key string } }
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	for _, k := range r.Keys {
		out = append(out, k.Key)
	}
	return out
}

func TestSealAndOpen(t *testing.T) {
	k := open(t, keyring.Source{Dir: t.TempDir()}, true)
	for _, plain := range []string{"", "x", strings.Repeat("a long secret ", 10000)} {
		sealed := seal(t, k, plain, "secrets/a")
		if len(plain) > 4 && bytes.Contains(sealed, []byte(plain)) { // a byte or two is there by chance
			t.Error("the sealed value holds the plain one")
		}
		if bytes.Equal(sealed, seal(t, k, plain, "secrets/a")) {
			t.Error("two seals of one value are the same")
		}
		if !bytes.HasPrefix(sealed, k.Prefix()) {
			t.Error("the sealed value does not start with the ring's prefix")
		}
		opens(t, k, sealed, "secrets/a", plain)
	}
}

func TestOpenRefusesWhatWasChanged(t *testing.T) {
	k := open(t, keyring.Source{Dir: t.TempDir()}, true)
	sealed := seal(t, k, "secret", "secrets/a")
	for i := range sealed {
		b := slices.Clone(sealed)
		b[i] ^= 1
		if plain, err := k.Open(b, "secrets/a"); err == nil {
			t.Fatalf("byte %d changed, still opened %q", i, plain)
		}
	}
	for name, c := range map[string]struct {
		sealed []byte
		row    string
	}{
		"moved to another row": {sealed, "secrets/b"},
		"cut":                  {sealed[:len(sealed)-1], "secrets/a"},
		"only a head":          {sealed[:keyring.PrefixLen], "secrets/a"},
		"empty":                {nil, "secrets/a"},
	} {
		if _, err := k.Open(c.sealed, c.row); !errors.Is(err, keyring.ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFirstStartMakesAFileForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	sealed := seal(t, open(t, keyring.Source{Dir: dir}, true), "secret", "r")
	info, err := os.Stat(ringFile(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	opens(t, open(t, keyring.Source{Dir: dir}, false), sealed, "r", "secret")
	opens(t, open(t, keyring.Source{Dir: dir}, true), sealed, "r", "secret") // an existing ring is never replaced
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestManyFirstStartsMakeOneRing(t *testing.T) {
	dir := t.TempDir()
	sealed := make([][]byte, 8)
	var g errgroup.Group
	for i := range sealed {
		g.Go(func() (err error) {
			k, err := keyring.Open(keyring.Source{Dir: dir}, true)
			if err == nil {
				sealed[i], err = k.Seal([]byte("secret"), "r")
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	k := open(t, keyring.Source{Dir: dir}, false)
	for _, s := range sealed {
		opens(t, k, s, "r", "secret")
	}
}

func TestALostRingIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	for _, src := range []keyring.Source{{Dir: dir}, {Dir: dir, Env: "MERIDIAN_TEST_RING_UNSET"}} {
		_, err := keyring.Open(src, false)
		if !errors.Is(err, keyring.ErrLost) || !strings.Contains(err.Error(), ringFile(dir)) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("error %v", err)
		}
		if _, err := os.Stat(ringFile(dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a ring was made: %v", err)
		}
	}
}

func TestAnotherRingOpensNothing(t *testing.T) {
	lost := open(t, keyring.Source{Dir: t.TempDir()}, true)
	sealed := seal(t, lost, "secret", "r")
	other := open(t, keyring.Source{Dir: t.TempDir()}, true)
	_, err := other.Open(sealed, "r")
	if !errors.Is(err, keyring.ErrLost) || !strings.Contains(err.Error(), lost.IDs()[0]) {
		t.Errorf("open: %v", err)
	}
	if err := other.Check([][]byte{lost.Prefix(), other.Prefix()}); !errors.Is(err, keyring.ErrLost) || !strings.Contains(err.Error(), lost.IDs()[0]) {
		t.Errorf("check: %v", err)
	}
	if err := other.Check([][]byte{other.Prefix()}); err != nil {
		t.Errorf("check of its own: %v", err)
	}
	if err := other.Check([][]byte{[]byte("plain")}); !errors.Is(err, keyring.ErrTampered) {
		t.Errorf("check of what no ring sealed: %v", err)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	k := open(t, keyring.Source{Dir: dir}, true)
	elsewhere := open(t, keyring.Source{Dir: dir}, false) // another process
	before := seal(t, k, "secret", "r")
	oldPrefix := k.Prefix()
	id, err := k.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	if ids := k.IDs(); len(ids) != 2 || ids[1] != id || bytes.Equal(k.Prefix(), oldPrefix) {
		t.Fatalf("keys %q, newest %q", ids, id)
	}
	opens(t, k, before, "r", "secret")
	opens(t, elsewhere, seal(t, k, "new", "r"), "r", "new")
	if s := seal(t, elsewhere, "x", "r"); !bytes.HasPrefix(s, k.Prefix()) {
		t.Error("the other process still seals with the old key")
	}

	if _, err := k.Retire([][]byte{k.Prefix()}, time.Hour); !errors.Is(err, keyring.ErrInUse) {
		t.Errorf("retired within the grace: %v", err)
	}
	if _, err := k.Retire([][]byte{oldPrefix, k.Prefix()}, 0); !errors.Is(err, keyring.ErrInUse) {
		t.Errorf("retired a key in use: %v", err)
	}
	if len(keys(t, dir)) != 2 {
		t.Fatal("a refused retirement changed the ring")
	}
	plain, err := k.Open(before, "r")
	if err != nil {
		t.Fatal(err)
	}
	again := seal(t, k, string(plain), "r")
	retired, err := k.Retire([][]byte{k.Prefix()}, 0)
	if err != nil || !slices.Equal(retired, []string{string(oldPrefix[1:])}) {
		t.Fatalf("retired %q, %v", retired, err)
	}
	for name, ring := range map[string]*keyring.Keyring{"this": k, "opened again": open(t, keyring.Source{Dir: dir}, false)} {
		opens(t, ring, again, "r", "secret")
		if _, err := ring.Open(before, "r"); !errors.Is(err, keyring.ErrLost) {
			t.Errorf("%s ring opened what the retired key sealed: %v", name, err)
		}
	}
	info, err := os.Stat(ringFile(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
}

func TestRotationsAtOnceLoseNoKey(t *testing.T) {
	dir := t.TempDir()
	open(t, keyring.Source{Dir: dir}, true)
	var g errgroup.Group
	for range 6 {
		g.Go(func() error {
			k, err := keyring.Open(keyring.Source{Dir: dir}, false)
			if err == nil {
				_, err = k.Rotate()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := len(keys(t, dir)); n != 7 {
		t.Fatalf("%d keys after six rotations", n)
	}
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	file := open(t, keyring.Source{Dir: dir}, true)
	sealed := seal(t, file, "secret", "r")
	key := keys(t, dir)[0]
	ring, err := os.ReadFile(ringFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	const env = "MERIDIAN_TEST_RING"
	for name, text := range map[string]string{"key": key, "raw base64": strings.TrimRight(key, "="), "with a newline": key + "\n", "ring": string(ring), "ring without IDs": fmt.Sprintf(`{"keys":[{"key":%q}]}`, key)} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(env, text)
			k := open(t, keyring.Source{Dir: t.TempDir(), Env: env}, false)
			opens(t, k, sealed, "r", "secret")
			if _, err := k.Rotate(); !errors.Is(err, keyring.ErrBadRing) || !strings.Contains(err.Error(), env) {
				t.Errorf("rotate: %v", err)
			}
			t.Setenv(env, "")
			k = open(t, keyring.Source{Command: []string{"printf", "%s", text}, Env: env}, false)
			opens(t, k, sealed, "r", "secret")
		})
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v, %v", files, err)
	}
}

// A ring that cannot be used is refused, and no error shows a key.
func TestBadRings(t *testing.T) {
	key := bytes.Repeat([]byte{0xA7}, 32)
	b64 := base64.StdEncoding.EncodeToString(key)
	short := base64.StdEncoding.EncodeToString(key[:16])
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"empty":           {"", 0o600},
		"no keys":         {`{"keys":[]}`, 0o600},
		"cut":             {`{"keys":[{"key":"` + b64, 0o600},
		"short key":       {`{"keys":[{"key":"` + short + `"}]}`, 0o600},
		"a word":          {"password", 0o600},
		"short base64":    {short, 0o600},
		"other ID":        {`{"keys":[{"id":"abcdefgh","key":"` + b64 + `"}]}`, 0o600},
		"others may read": {b64, 0o644},
		"group may read":  {b64, 0o640},
		"key as a number": {`{"keys":[{"key":12}]}`, 0o600},
		"key of bad base": {`{"keys":[{"key":"` + b64[:40] + `!"}]}`, 0o600},
		"a list":          {`[1]`, 0o600},
		"a key and more":  {b64 + b64, 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(ringFile(dir), []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(ringFile(dir), c.mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
			_, err := keyring.Open(keyring.Source{Dir: dir}, true)
			if !errors.Is(err, keyring.ErrBadRing) {
				t.Fatalf("error %v", err)
			}
			for _, secret := range []string{b64[:20], short[:12], fmt.Sprintf("%x", key[:8])} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a key: %v", err)
				}
			}
			if got, err := os.ReadFile(ringFile(dir)); err != nil || string(got) != c.text {
				t.Errorf("the ring was changed: %v", err)
			}
		})
	}
}

func TestAFailedCommandShowsNothing(t *testing.T) {
	_, err := keyring.Open(keyring.Source{Command: []string{"sh", "-c", "echo TOPSECRET; echo TOPSECRET >&2; exit 3"}}, false)
	if err == nil || strings.Contains(err.Error(), "TOPSECRET") || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("error %v", err)
	}
	_, err = keyring.Open(keyring.Source{Command: []string{"printf", "TOPSECRET"}}, false)
	if !errors.Is(err, keyring.ErrBadRing) || strings.Contains(err.Error(), "TOPSECRET") {
		t.Fatalf("error %v", err)
	}
}

func TestWhatIsNoRingIsNotReadWhole(t *testing.T) {
	_, err := keyring.Open(keyring.Source{Command: []string{"sh", "-c", "while :; do echo TOPSECRET; done"}}, false)
	if !errors.Is(err, keyring.ErrBadRing) || strings.Contains(err.Error(), "TOPSECRET") || !strings.Contains(err.Error(), "prints more than") {
		t.Errorf("a command without an end: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(ringFile(dir), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Open(keyring.Source{Dir: dir}, false); !errors.Is(err, keyring.ErrBadRing) || !strings.Contains(err.Error(), "no ring has more than") {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestARingThatIsAwayForAMomentStays(t *testing.T) {
	dir := t.TempDir()
	k := open(t, keyring.Source{Dir: dir}, true)
	sealed := seal(t, k, "secret", "r")
	if err := os.Rename(ringFile(dir), ringFile(dir)+".away"); err != nil {
		t.Fatal(err)
	}
	opens(t, k, sealed, "r", "secret")
	opens(t, k, seal(t, k, "new", "r"), "r", "new")
}

func BenchmarkSeal(b *testing.B) {
	k, err := keyring.Open(keyring.Source{Dir: b.TempDir()}, true)
	if err != nil {
		b.Fatal(err)
	}
	plain := make([]byte, 4096)
	for b.Loop() {
		if _, err := k.Seal(plain, "states/x"); err != nil {
			b.Fatal(err)
		}
	}
}
