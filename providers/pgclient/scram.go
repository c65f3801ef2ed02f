package pgclient

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// scramIterations is PostgreSQL's own default.
const scramIterations = 4096

// maxIterations bounds what a stored form may ask for: nobody is kept busy by one that is not PostgreSQL's own.
const maxIterations = 10_000_000

var errPasswordText = errors.New("a password is empty or not plain ASCII")

// Verifier returns what PostgreSQL stores for a password (RFC 5803 with "$" for separators), made here so that the password itself never
// reaches the server's log. It is limited to printable ASCII, for which SASLprep changes nothing.
func Verifier(password string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt) // it never fails
	return scramWith(password, salt, scramIterations)
}

func scramWith(password string, salt []byte, iterations int) (string, error) {
	if password == "" {
		return "", errPasswordText
	}
	for i := range len(password) {
		if c := password[i]; c < 0x20 || c > 0x7e {
			return "", errPasswordText
		}
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive verifier: %w", err)
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(sign(salted, "Server Key"))), nil
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Matches reports whether a stored verifier is that of the password. Another kind of verifier (md5) does not match.
func Matches(verifier, password string) bool {
	rest, ok := strings.CutPrefix(verifier, "SCRAM-SHA-256$")
	if !ok {
		return false
	}
	params, _, _ := strings.Cut(rest, "$")
	count, salt64, _ := strings.Cut(params, ":")
	iterations, err := strconv.Atoi(count)
	if err != nil || iterations < 1 || iterations > maxIterations {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(salt64)
	if err != nil {
		return false
	}
	want, err := scramWith(password, salt, iterations)
	return err == nil && hmac.Equal([]byte(want), []byte(verifier))
}
