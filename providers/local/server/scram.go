package server

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// scramIterations is PostgreSQL's own default.
const scramIterations = 4096

// scramVerifier makes the form in which PostgreSQL stores a password (RFC 5803): SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>.
func scramVerifier(password string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails: it ends the program instead
	return scramWith(password, scramIterations, salt)
}

func scramWith(password string, iterations int, salt []byte) (string, error) {
	if password == "" {
		return "", errors.New("the administrator's password is empty")
	}
	for i := range len(password) {
		if password[i] < ' ' || password[i] > '~' {
			return "", errors.New("the administrator's password has a character that is not printable ASCII") // others are normalised before hashing, which we do not do
		}
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}

// scramMatches reports whether a stored form is of this password.
func scramMatches(stored, password string) bool {
	rest, ok := strings.CutPrefix(stored, "SCRAM-SHA-256$")
	if !ok {
		return false
	}
	head, _, _ := strings.Cut(rest, "$")
	count, salt64, _ := strings.Cut(head, ":")
	iterations, err := strconv.Atoi(count)
	if err != nil || iterations < 1 || iterations > 10_000_000 {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(salt64)
	if err != nil {
		return false
	}
	want, err := scramWith(password, iterations, salt)
	return err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(stored)) == 1
}
