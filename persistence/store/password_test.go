package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian/persistence/store"
)

func TestPasswordCommand(t *testing.T) {
	for name, test := range map[string]struct {
		command  []string
		password string
		says     string
	}{
		"a token, trimmed":    {command: []string{"printf", " a-token\n"}, password: "a-token"},
		"the longest":         {command: []string{"sh", "-c", "head -c 65536 /dev/zero | tr '\\0' x"}, password: strings.Repeat("x", 64<<10)},
		"without an end":      {command: []string{"sh", "-c", "while :; do echo hush-hush; done"}, says: "prints more than 65536 bytes; have it print the password and nothing else"},
		"one byte too many":   {command: []string{"sh", "-c", "head -c 65537 /dev/zero"}, says: "prints more than 65536 bytes"},
		"it ends badly":       {command: []string{"sh", "-c", "echo hush-hush; echo hush-hush >&2; exit 3"}, says: "exit status 3"},
		"there is no such":    {command: []string{"/nonexistent/program"}, says: "/nonexistent/program"},
		"no command: no word": {},
	} {
		t.Run(name, func(t *testing.T) {
			var c pgx.ConnConfig
			err := store.PasswordFrom(test.command)(t.Context(), &c)
			if (err != nil) != (test.says != "") || err != nil && (!strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hush")) {
				t.Fatalf("error %v, want %q", err, test.says)
			}
			if c.Password != test.password {
				t.Errorf("a password of %d bytes, want %d", len(c.Password), len(test.password))
			}
		})
	}
}
