package keyring

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// FileName is the ring's file under the data directory.
const FileName = "keyring.json"

// commandTimeout bounds the command that prints the ring: a vault answers in seconds, and a start must not hang.
const commandTimeout = 30 * time.Second

// maxRing bounds what is read as a ring: a key has about 100 bytes.
const maxRing = 1 << 20

// Source says where the ring comes from: an environment variable where it is set, else a command's output, else a file under the
// data directory (default, made on first start). Variable and command give one key in base64, or the text of a ring file.
type Source struct {
	Dir     string
	Command []string
	// Env is the variable's name, never its value.
	Env string
}

// ring is the file's shape.
type ring struct {
	Keys []key `json:"keys"`
}

// stamp tells one content of the ring's file from another.
type stamp struct {
	size int64
	mod  time.Time
	info os.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.info != nil && o.info != nil && s.size == o.size && s.mod.Equal(o.mod) && os.SameFile(s.info, o.info)
}

// Open reads the ring. With create false (sealed data exists) a missing ring is an error that says how to bring it back.
func Open(src Source, create bool) (*Keyring, error) {
	k := &Keyring{src: src}
	if src.file() == "" {
		text, err := src.read()
		if err != nil {
			return nil, err
		}
		keys, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("keyring from %s: %w", src, err)
		}
		return k, k.use(keys, stamp{})
	}
	keys, s, err := loadDurable(src.file())
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, fmt.Errorf("%w: %s is missing, but sealed data exists (%s)", ErrLost, src.file(), src.bringBack())
		}
		if keys, s, err = first(src); err != nil {
			return nil, fmt.Errorf("make %s: %w", src.file(), err)
		}
	}
	if err != nil {
		return nil, err
	}
	return k, k.use(keys, s)
}

// String names the source, for errors.
func (s Source) String() string {
	switch {
	case s.fromEnv():
		return "the variable " + s.Env
	case len(s.Command) > 0:
		return "the command " + s.Command[0]
	}
	return s.file()
}

func (s Source) fromEnv() bool { return s.Env != "" && os.Getenv(s.Env) != "" }

// file is the ring's file, or "" where the ring comes from elsewhere.
func (s Source) file() string {
	if s.fromEnv() || len(s.Command) > 0 {
		return ""
	}
	return filepath.Join(s.Dir, FileName)
}

// bringBack says what a person does about a lost key.
func (s Source) bringBack() string {
	if f := s.file(); f != "" {
		hint := "put " + f + " back from its backup"
		if s.Env != "" {
			hint += ", or give the key in " + s.Env
		}
		return hint + "; a new key could open nothing, so none is made"
	}
	return "give the ring with that key by " + s.String() + "; a new key could open nothing, so none is made"
}

// read returns the text of a ring that does not come from a file.
func (s Source) read() ([]byte, error) {
	if s.fromEnv() {
		return []byte(os.Getenv(s.Env)), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.WaitDelay = time.Second
	out := bounded{left: maxRing}
	cmd.Stdout = &out
	err := cmd.Run()
	if out.left < 0 {
		return nil, fmt.Errorf("keyring from %s: %w: it prints more than %d bytes; have it print the ring and nothing else", s, ErrBadRing, maxRing)
	}
	if err != nil {
		// Neither stream is shown: a key could be in it.
		return nil, fmt.Errorf("keyring from %s: %w", s, errors.Join(ErrLost, plainExit(err)))
	}
	return out.text.Bytes(), nil
}

// bounded keeps what is written while it is no more than is left; then it ends who writes.
type bounded struct {
	text bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortWrite
	}
	return b.text.Write(p)
}

// plainExit drops what a failed command wrote.
func plainExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errors.New(exit.ProcessState.String())
	}
	return err
}

// parse reads one base64 key or the text of a ring. Its errors quote nothing of the text.
func parse(text []byte) ([]key, error) {
	text = bytes.TrimSpace(text)
	if len(text) > 0 && text[0] == '{' {
		var r ring
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%w: it is no JSON ring", ErrBadRing)
		}
		for i := range r.Keys {
			if r.Keys[i].ID == "" {
				r.Keys[i].ID = keyID(r.Keys[i].Key)
			}
		}
		return r.Keys, nil
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if raw, err := enc.DecodeString(string(text)); err == nil && len(raw) == keyLen {
			return []key{{ID: keyID(raw), Key: raw}}, nil
		}
	}
	return nil, fmt.Errorf("%w: want %d bytes in base64, or a JSON ring", ErrBadRing, keyLen)
}

// load reads a ring file.
func load(path string) ([]key, stamp, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, stamp{}, fmt.Errorf("keyring: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, stamp{}, fmt.Errorf("keyring: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, stamp{}, fmt.Errorf("keyring %s: %w: others may read it (chmod 600 it; if they could have read it, rotate the key)", path, ErrBadRing)
	}
	if info.Size() > maxRing {
		return nil, stamp{}, fmt.Errorf("keyring %s: %w: it has %d bytes, and no ring has more than %d (%s)", path, ErrBadRing, info.Size(), maxRing, Source{Dir: filepath.Dir(path)}.bringBack())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRing))
	if err != nil {
		return nil, stamp{}, fmt.Errorf("keyring: %w", err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, stamp{}, fmt.Errorf("keyring %s: %w: it is empty (%s)", path, ErrBadRing, Source{Dir: filepath.Dir(path)}.bringBack())
	}
	keys, err := parse(text)
	if err != nil {
		return nil, stamp{}, fmt.Errorf("keyring %s: %w", path, err)
	}
	return keys, stamp{size: info.Size(), mod: info.ModTime(), info: info}, nil
}

// loadDurable reads a ring file whose keys may seal. Whoever has just put it there may not have synced its directory yet: a loss of power would
// leave what is sealed and not the key.
func loadDurable(path string) ([]key, stamp, error) {
	keys, s, err := load(path)
	if err != nil {
		return nil, stamp{}, err
	}
	if err := disk.syncDir(filepath.Dir(path)); err != nil {
		return nil, stamp{}, fmt.Errorf("keyring: %w", err)
	}
	return keys, s, nil
}

// Given reports whether the ring comes from outside (a variable, a command), so that only a person can change it.
func (k *Keyring) Given() bool { return k.src.file() == "" }

// Source names where the ring comes from.
func (k *Keyring) Source() string { return k.src.String() }

// refresh reads the ring's file again if it has changed. A file that is away for a moment is not: the keys in memory stay.
func (k *Keyring) refresh() error {
	path := k.src.file()
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // what was read before still seals and opens
	}
	k.mu.RLock()
	same := k.stamp.same(stamp{size: info.Size(), mod: info.ModTime(), info: info})
	k.mu.RUnlock()
	if same {
		return nil
	}
	keys, s, err := loadDurable(path)
	if err != nil {
		return err
	}
	return k.use(keys, s)
}
