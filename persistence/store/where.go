package store

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Env names the store where no flag does: see Where. It is how a server tells its runners, because the environment of a process is
// its user's alone, and arguments are everybody's.
const Env = "MERIDIAN_STORE"

// fromFile begins a setting that names a file with the URL in it.
const fromFile = "file:"

// ErrSecretInArgument means that a password was given where every user of the machine can read it.
var ErrSecretInArgument = errors.New("a password in an argument can be read by every user of the machine")

// Where is what Open takes: what the flag says, else what the variable Env says, else the data directory. Both say "postgres://...",
// or "file:PATH" for a file of mode 0600 that holds such a URL. A flag must not hold a password: that belongs into the file, the
// variable, or the password file that PGPASSFILE names.
func Where(flag, dataDir string) (string, error) {
	setting := flag
	if setting == "" {
		setting = os.Getenv(Env)
	}
	path, inFile := strings.CutPrefix(setting, fromFile)
	switch {
	case setting == "":
		return dataDir, nil
	case inFile:
		return readURL(path)
	case !isURL(setting):
		return "", fmt.Errorf("store: want postgres://USER@HOST/DATABASE or %sPATH of a file that holds it; without a setting the store is SQLite in the data directory", fromFile)
	}
	u, err := url.Parse(setting)
	if err != nil { // the error would quote the URL
		return "", errors.New("store: the URL cannot be read: want postgres://USER@HOST:PORT/DATABASE, with each part percent-encoded")
	}
	_, secret := u.User.Password()
	if flag != "" && (secret || u.Query().Has("password")) {
		return "", fmt.Errorf("store: %w: put the URL into a file of mode 0600 and say %sPATH, or into %s, or the password into the file that PGPASSFILE names", ErrSecretInArgument, fromFile, Env)
	}
	return setting, nil
}

// readURL reads the URL in a file that only its owner may read.
func readURL(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("store: others may read %s, which holds the store's URL: chmod 600 it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	where := strings.TrimSpace(string(text))
	if !isURL(where) {
		return "", fmt.Errorf("store: %s does not hold a URL that begins with postgres://", path)
	}
	return where, nil
}

// isURL reports whether a store is PostgreSQL's.
func isURL(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}
