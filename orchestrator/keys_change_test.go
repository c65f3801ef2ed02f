package orchestrator

import (
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/keyring"
	"meridian/persistence/store/storetest"
	"meridian/stacks"
)

// keysClient is a client on a ring, with something sealed in its store, and no Temporal.
func keysClient(t *testing.T, src keyring.Source) *Client {
	t.Helper()
	keys, err := keyring.Open(src, true)
	fatal(t, err)
	st := storetest.Open(t, t.TempDir())
	c, err := NewClient(t.Context(), Options{
		Catalog: catalog.New(st, keys), Journal: journal.New(st, keys), Timing: stacks.Timing{KeyGrace: time.Minute}, Logger: slog.New(slog.DiscardHandler),
	})
	fatal(t, err)
	err = c.catalog.EnsureSecret(t.Context(), "abcdefgh", "admin")
	fatal(t, err)
	return c
}

// TestARingThatIsGiven: what comes from a variable is changed there. Once a key was appended, everything is sealed again, and what may be taken out is
// said and left to people.
func TestARingThatIsGiven(t *testing.T) {
	const env = "MERIDIAN_TEST_RING"
	one, two := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("1", 32))), base64.StdEncoding.EncodeToString([]byte(strings.Repeat("2", 32)))
	t.Setenv(env, one)
	c := keysClient(t, keyring.Source{Env: env})
	_, err := c.RotateKeys(t.Context(), "test")
	p := problemOf(t, err, CodeRefused)
	if !strings.Contains(p.Detail, "the variable "+env) || !strings.Contains(p.Next, "append a key there") || strings.Contains(p.Error(), one) {
		t.Errorf("refused with %v", p)
	}

	t.Setenv(env, `{"keys": [{"key": "`+one+`"}, {"key": "`+two+`"}]}`)
	keys, err := keyring.Open(keyring.Source{Env: env}, false)
	fatal(t, err)
	st := c.catalog.Store()
	restarted, err := NewClient(t.Context(), Options{Catalog: catalog.New(st, keys), Journal: journal.New(st, keys), Timing: stacks.Timing{KeyGrace: time.Minute}, Logger: c.logger})
	fatal(t, err)
	v, err := restarted.RetireKeys(t.Context(), "test")
	fatal(t, err)
	if ks := kindsOf(v.Held); v.Resealed != 2 || len(v.TakeOut) != 0 || !slices.Equal(ks, []string{HoldGrace, HoldTemporal}) {
		t.Errorf("right after the start: %+v", v)
	}
	list, err := restarted.Keys(t.Context())
	fatal(t, err)
	if len(list.Keys) != 2 || list.Keys[0].Rows != 0 || list.Keys[1].Rows != 2 || !list.Keys[1].Seals || !list.Given || len(list.Lost) != 0 {
		t.Errorf("the ring is %+v", list)
	}

	t.Setenv(env, two)
	keys, err = keyring.Open(keyring.Source{Env: env}, false)
	fatal(t, err)
	if _, err := catalog.New(st, keys).Secret(t.Context(), "abcdefgh", "admin"); err != nil {
		t.Errorf("with the newest key alone: %v", err)
	}
}

// TestARingThatCannotBeChanged: one error says what to do, and the ring, the rows and what is sealed meanwhile are as they were.
func TestARingThatCannotBeChanged(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"gone": func(t *testing.T, dir string) {
			fatal(t, os.Rename(filepath.Join(dir, keyring.FileName), filepath.Join(dir, "away")))
		},
		"not to be kept": func(t *testing.T, dir string) {
			fatal(t, os.Mkdir(filepath.Join(dir, keyring.FileName+".lock"), 0o700))
		},
		"no ring": func(t *testing.T, dir string) {
			fatal(t, os.WriteFile(filepath.Join(dir, keyring.FileName), []byte("{}"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := keysClient(t, keyring.Source{Dir: dir})
			before := c.catalog.Keys().IDs()
			spoil(t, dir)
			_, err := c.RotateKeys(t.Context(), "test")
			if p := problemOf(t, err, CodeRefused); !strings.Contains(p.Title, "is as it was") || !strings.Contains(p.Next, keyring.FileName) {
				t.Errorf("refused with %v", p)
			}
			if after := c.catalog.Keys().IDs(); !slices.Equal(before, after) {
				t.Errorf("the ring was %v and is %v", before, after)
			}
			if _, err := c.catalog.Secret(t.Context(), "abcdefgh", "admin"); err != nil {
				t.Errorf("what was sealed: %v", err)
			}
		})
	}
}

// TestRotateAgainFinishes: a rotation that ended in the middle is finished by the next one, which makes no key; the one after it makes one. Each is
// in the audit, with who asked.
func TestRotateAgainFinishes(t *testing.T) {
	c := keysClient(t, keyring.Source{Dir: t.TempDir()})
	old := c.catalog.Keys().IDs()
	_, err := c.catalog.Keys().Rotate() // and there it ended
	fatal(t, err)
	v, err := c.RotateKeys(t.Context(), "ada")
	fatal(t, err)
	if !v.Finished || v.Resealed != 2 || !slices.Equal(v.Old, old) || v.Key != c.catalog.Keys().IDs()[1] {
		t.Errorf("asked again: %+v", v)
	}
	v, err = c.RotateKeys(t.Context(), "ada")
	fatal(t, err)
	if v.Finished || len(v.Old) != 2 || len(c.catalog.Keys().IDs()) != 3 {
		t.Errorf("once more: %+v", v)
	}
	r, err := c.RetireKeys(t.Context(), "ada")
	fatal(t, err)
	if len(r.Retired) != 0 || !slices.Equal(kindsOf(r.Held), []string{HoldGrace, HoldTemporal}) || len(c.catalog.Keys().IDs()) != 3 {
		t.Errorf("retired at once: %+v", r)
	}
	audits, err := c.catalog.Audits(t.Context(), "", "", 0)
	fatal(t, err)
	if len(audits) != 2 || audits[0].Verb != "rotate keys" || audits[0].Actor != "ada" || !strings.HasPrefix(audits[1].Detail, "finish the rotation") {
		t.Errorf("the audit is %+v", audits)
	}
}

// TestAKeyThatIsLost: rows of a key that the ring does not have are shown, and refused to be passed over.
func TestAKeyThatIsLost(t *testing.T) {
	dir := t.TempDir()
	c := keysClient(t, keyring.Source{Dir: dir})
	lost, err := keyring.Open(keyring.Source{Dir: t.TempDir()}, true)
	fatal(t, err)
	err = catalog.New(c.catalog.Store(), lost).EnsureSecret(t.Context(), "abcdefgh", "users/app")
	fatal(t, err)
	list, err := c.Keys(t.Context())
	fatal(t, err)
	if len(list.Lost) != 1 || list.Lost[0].ID != lost.IDs()[0] || list.Lost[0].Rows != 1 {
		t.Errorf("lost: %+v", list.Lost)
	}
	_, err = c.RotateKeys(t.Context(), "test")
	if p := problemOf(t, err, CodeRefused); !strings.Contains(p.Detail, "the key is lost") || !strings.Contains(p.Next, "meridian fsck") {
		t.Errorf("refused with %v", p)
	}
}

func kindsOf(held []KeyHold) (out []string) {
	for _, h := range held {
		out = append(out, h.Kind)
	}
	return out
}

func problemOf(t *testing.T, err error, code string) *Problem {
	t.Helper()
	p, ok := err.(*Problem) //nolint:errorlint // surfaces get it as it is
	if !ok || p.Code != code || p.Next == "" {
		t.Fatalf("error %v, want a problem %s that says what to do", err, code)
	}
	return p
}
