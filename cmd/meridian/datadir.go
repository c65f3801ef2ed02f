package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Files of a data directory that CLI and server share.
const (
	lockFile   = "lock"
	tokenFile  = "token"
	serverFile = "server.json"
)

// serverInfo is what a running server leaves for local clients.
type serverInfo struct {
	URL string `json:"url"`
	PID int    `json:"pid"`
	// Version is the server's build, and Terraform the binary that it was told to use: workers beside it must be of the same.
	Version   string `json:"version"`
	Terraform string `json:"terraform,omitempty"`
	// Elsewhere says that the store is not in the data directory. Where it is may be a secret, and is told to workers as to the server.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// External says that Temporal is somebody else's.
	External bool `json:"external,omitempty"`
}

// dataDir is the data directory that flags and environment name, or the user's own.
func (a *app) dataDir() (string, error) {
	dir := a.data
	if dir == "" {
		dir = os.Getenv("MERIDIAN_DATA")
	}
	if dir == "" {
		return defaultDataDir("meridian")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory %s: %w", dir, err)
	}
	return abs, nil
}

// defaultDataDir is where a server of this user keeps its data, as the XDG base directory specification says for state.
func defaultDataDir(name string) (string, error) {
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib", name), nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, name), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &exitError{Code: exitFailed, What: "no data directory: neither HOME nor XDG_STATE_HOME is set", Next: "name one with --data DIR"}
	}
	return filepath.Join(home, ".local", "state", name), nil
}

// makeDataDir makes the directory where it is missing. Root's may be passed through, but not listed, by others: PostgreSQL servers
// below it run as another user. What is secret in it has its own mode.
func makeDataDir(dir string) error {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return &exitError{Code: exitFailed, What: "make the data directory: " + err.Error(), Next: "choose another with --data DIR"}
	}
	return nil
}

// lockDataDir keeps other servers out until the returned function is called or the process ends, however it ends.
func lockDataDir(dir string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &exitError{Code: exitFailed, What: "open the data directory's lock: " + err.Error(), Next: "choose another directory with --data DIR"}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		who := "another server"
		if info, err := readServerInfo(dir); err == nil {
			who = fmt.Sprintf("another server (pid %d, %s)", info.PID, info.URL)
		}
		return nil, &exitError{
			Code: exitFailed, What: fmt.Sprintf("%s holds the data directory %s", who, dir),
			Next: "use that one, stop it, or choose another directory with --data DIR",
		}
	}
	return func() { f.Close() }, nil
}

// ensureToken returns the data directory's bearer token, made on first start and readable by its owner only.
func ensureToken(dir string) (string, error) {
	path := filepath.Join(dir, tokenFile)
	token, err := readToken(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	token = hex.EncodeToString(raw)
	if err := writeFile(path, []byte(token+"\n")); err != nil {
		return "", fmt.Errorf("keep the token: %w", err)
	}
	return token, nil
}

func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 32 {
		return "", &exitError{Code: exitFailed, What: path + " holds no token", Next: "remove it; the server makes a new one when it starts"}
	}
	return token, nil
}

func readServerInfo(dir string) (serverInfo, error) {
	var info serverInfo
	text, err := os.ReadFile(filepath.Join(dir, serverFile))
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return info, fmt.Errorf("%s: %w", filepath.Join(dir, serverFile), err)
	}
	return info, nil
}

func writeServerInfo(dir string, info serverInfo) error {
	text, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("encode %s: %w", serverFile, err)
	}
	return writeFile(filepath.Join(dir, serverFile), append(text, '\n'))
}

// writeFile writes a file of mode 0600 at once: nobody sees half of it.
func writeFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // CreateTemp's mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
