package temporal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
)

// KeyFileName is the file under the data directory that holds the frontend's key (0600).
const KeyFileName = "temporal.key"

const keyBytes = 32

// key is what clients show to the frontend. It never prints.
type key string

// String hides the key.
func (key) String() string { return "[key]" }

// bearer is the value of the authorization header.
func (k key) bearer() string { return "Bearer " + string(k) }

// GetHeaders gives the key to each call of a client.
func (k key) GetHeaders(context.Context) (map[string]string, error) {
	return map[string]string{"authorization": k.bearer()}, nil
}

// loadKey reads the key of dir and makes it on first start; without dir the key lives as long as the server.
func loadKey(dir string) (key, error) {
	if dir == "" {
		return newKey(), nil
	}
	file := filepath.Join(dir, KeyFileName)
	k, err := readKey(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k = newKey()
	// A temporary file is 0600 from birth; the rename makes a crash leave either no key or a whole one.
	tmp, err := os.CreateTemp(dir, KeyFileName+".*")
	if err != nil {
		return "", fmt.Errorf("make temporal's key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(string(k) + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("write temporal's key: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return "", fmt.Errorf("write temporal's key: %w", err)
	}
	return k, nil
}

func newKey() key {
	raw := make([]byte, keyBytes)
	_, _ = rand.Read(raw) // crypto/rand.Read never fails
	return key(base64.RawURLEncoding.EncodeToString(raw))
}

// readKey reads a key file and refuses one that others can read or that holds no key.
func readKey(file string) (key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("temporal's key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("temporal's key %s can be read by others: run `chmod 600 %s`, or remove it and a new one is made at the next start", file, file)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("temporal's key: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	if decoded, err := base64.RawURLEncoding.DecodeString(text); err != nil || len(decoded) != keyBytes {
		return "", fmt.Errorf("temporal's key %s is damaged: remove it, a new one is made at the next start", file)
	}
	return key(text), nil
}

// OpenClient connects another process to a server: address is the frontend's host:port, keyFile the file of its key, namespace
// Temporal's (DefaultNamespace when empty).
func OpenClient(ctx context.Context, address, keyFile, namespace string, log *slog.Logger) (client.Client, error) {
	k, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	if namespace == "" {
		namespace = DefaultNamespace
	}
	if log == nil {
		log = slog.Default()
	}
	c, err := client.DialContext(ctx, clientOptions(address, namespace, k, log))
	var denied *serviceerror.PermissionDenied
	if errors.As(err, &denied) {
		return nil, fmt.Errorf("temporal at %s refuses the key in %s, is it another server's?: %w", address, keyFile, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to temporal at %s: %w", address, err)
	}
	return c, nil
}

func clientOptions(address, namespace string, k key, log *slog.Logger) client.Options {
	return client.Options{
		HostPort:        address,
		Namespace:       namespace,
		HeadersProvider: k,
		Logger:          newSDKLogger(log),
	}
}

// claimMapper gives all rights to who shows the key, none to others. The internal frontend has a mapper of its own.
type claimMapper struct{ want [sha256.Size]byte }

func newClaimMapper(k key) claimMapper { return claimMapper{sha256.Sum256([]byte(k.bearer()))} }

// GetClaims compares in constant time.
func (m claimMapper) GetClaims(info *authorization.AuthInfo) (*authorization.Claims, error) {
	got := sha256.Sum256([]byte(info.AuthToken))
	if subtle.ConstantTimeCompare(got[:], m.want[:]) != 1 {
		return &authorization.Claims{}, nil
	}
	return &authorization.Claims{System: authorization.RoleAdmin}, nil
}

// authorizer refuses every call without the key, health checks too.
type authorizer struct{}

// Authorize looks at the claims that claimMapper made.
func (authorizer) Authorize(_ context.Context, claims *authorization.Claims, _ *authorization.CallTarget) (authorization.Result, error) {
	if claims != nil && claims.System&authorization.RoleAdmin != 0 {
		return authorization.Result{Decision: authorization.DecisionAllow}, nil
	}
	return authorization.Result{Decision: authorization.DecisionDeny, Reason: "this server asks for its key, the file " + KeyFileName + " of its data directory"}, nil
}
