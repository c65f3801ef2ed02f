package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// secret is something that must not be found.
type secret struct{ name, text string }

// finding is a secret that was found, and its form.
type finding struct{ secret, form string }

func (f finding) String() string { return "the secret " + f.secret + ", " + f.form }

// haystack looks for many secrets at once, in each of their forms.
type haystack struct {
	first   [1 << 16]bool       // by two bytes
	needles map[uint64][]needle // by eight bytes
}

type needle struct {
	finding
	bytes []byte
}

func newHaystack(secrets ...secret) *haystack {
	h := &haystack{needles: map[uint64][]needle{}}
	for _, s := range secrets {
		values := map[string][]byte{"": []byte(s.text)}
		if raw, err := base64.RawURLEncoding.DecodeString(s.text); err == nil {
			values["bytes of its base64, "] = raw
		}
		for of, value := range values {
			h.add(s.name, of+"clear", value)
			h.add(s.name, of+"hex", []byte(hex.EncodeToString(value)))
			h.add(s.name, of+"HEX", []byte(strings.ToUpper(hex.EncodeToString(value))))
			for shift := range 3 {
				for form, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
					if text := inner(enc, value, shift); !strings.HasPrefix(s.text, string(text)) { // else it is in clear
						h.add(s.name, of+form, text)
					}
				}
			}
		}
	}
	return h
}

// inner is the part of a value's base64 that is the same wherever the value stands in what is encoded, for one of three alignments.
func inner(enc *base64.Encoding, value []byte, shift int) []byte {
	text := enc.EncodeToString(append(make([]byte, shift), value...))
	return []byte(text[(shift*8+5)/6 : (shift+len(value))*8/6])
}

func (h *haystack) add(name, form string, text []byte) {
	key := binary.LittleEndian.Uint64(text)
	for _, n := range h.needles[key] {
		if bytes.Equal(n.bytes, text) {
			return
		}
	}
	h.first[binary.LittleEndian.Uint16(text)] = true
	h.needles[key] = append(h.needles[key], needle{finding{name, form}, text})
}

// find lists what of the secrets is in text, each form once.
func (h *haystack) find(text []byte) []finding {
	var out []finding
	for i := 0; i+8 <= len(text); i++ {
		if !h.first[uint16(text[i])|uint16(text[i+1])<<8] {
			continue
		}
		for _, n := range h.needles[binary.LittleEndian.Uint64(text[i:])] {
			if bytes.HasPrefix(text[i:], n.bytes) && !slices.Contains(out, n.finding) {
				out = append(out, n.finding)
			}
		}
	}
	return out
}

// TestHaystack finds each form of a secret in the middle of something, and nothing where there is none.
func TestHaystack(t *testing.T) {
	text := "kR7w-Zb0_QmXv3tTg9hYc2sLpE5uNaJd8oIfW1rBxGk"
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	h := newHaystack(secret{"s", text})
	for name, hidden := range map[string]string{
		"clear": text, "bytes": string(raw), "hex": hex.EncodeToString([]byte(text)), "hex of bytes": strings.ToUpper(hex.EncodeToString(raw)),
		"base64": base64.StdEncoding.EncodeToString([]byte("a" + text + "bc")), "base64 shifted": base64.URLEncoding.EncodeToString([]byte("ab" + text)),
		"base64 of bytes": base64.StdEncoding.EncodeToString(append([]byte{0xff}, raw...)),
	} {
		if found := h.find([]byte("before " + hidden + " after")); len(found) != 1 {
			t.Errorf("%s: found %v, want it once", name, found)
		}
	}
	if found := h.find([]byte("before " + text[:40] + " after " + text[3:])); len(found) != 0 {
		t.Errorf("found %v in parts of the secret", found)
	}
}

// processWatch has seen the arguments and environments of all processes of the machine that this user may look at, again and again.
type processWatch struct {
	t    testing.TB
	stop func()
	mu   sync.Mutex
	seen map[sight]bool
}

// sight is one look at a process: its program, whether it is a shim, and what it was started with.
type sight struct {
	program, args, environ string
}

// watchProcesses looks until check is called.
func watchProcesses(t testing.TB) *processWatch {
	w := &processWatch{t: t, seen: map[sight]bool{}}
	end, ended := make(chan struct{}), make(chan struct{})
	w.stop = sync.OnceFunc(func() { close(end); <-ended })
	go func() {
		defer close(ended)
		again := time.NewTicker(5 * tick)
		defer again.Stop()
		for {
			w.look()
			select {
			case <-again.C:
			case <-end:
				return
			}
		}
	}()
	t.Cleanup(w.stop)
	return w
}

func (w *processWatch) look() {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err != nil || pid == os.Getpid() {
			continue
		}
		args, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || len(args) == 0 {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil { // it has ended meanwhile
			exe, _, _ = strings.Cut(string(args), "\x00")
		}
		w.mu.Lock()
		w.seen[sight{filepath.Base(exe), string(args), string(environ)}] = true
		w.mu.Unlock()
	}
}

// check ends the looking and wants no secret in any argument, and none in an environment but the administrators' passwords where a step
// of terraform, or the copy of a schema, needs them. It wants to have seen those, else it has seen nothing.
func (w *processWatch) check(hay *haystack) {
	w.t.Helper()
	w.stop()
	programs, held := map[string]bool{}, map[string]bool{}
	for s := range w.seen {
		kind := s.program
		if kind == "meridian-runner" && strings.HasPrefix(s.args, kind+"\x00shim\x00") {
			kind = "shim"
		}
		kind, _, _ = strings.Cut(kind, "_v")
		programs[kind] = true
		if found := hay.find([]byte(s.args)); len(found) > 0 {
			w.t.Errorf("the arguments of a %s hold %v", kind, found)
		}
		for _, f := range hay.find([]byte(s.environ)) {
			switch kind {
			case "terraform", "tofu", "shim", "terraform-provider-localdb", "pg_dump":
				held[kind] = true
				if strings.HasPrefix(f.secret, "region/") && f.form == "clear" {
					continue
				}
			}
			w.t.Errorf("the environment of a %s holds %s (its arguments: %q)", kind, f, s.args)
		}
	}
	w.t.Logf("looked at %d starts of programs; passwords were with %v", len(w.seen), fmt.Sprint(held))
	for _, want := range []string{"meridian", "meridian-runner", "postgres", "initdb", "shim", "terraform-provider-localdb"} {
		if !programs[want] {
			w.t.Errorf("no %s was seen: there was nothing to look at", want)
		}
	}
	for _, want := range []string{"shim", "terraform-provider-localdb"} {
		if !held[want] {
			w.t.Errorf("no password was seen with a %s: the search finds nothing", want)
		}
	}
}
