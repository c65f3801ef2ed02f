package server

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"meridian/providers/local/machine"
)

// Managed lists the parameters that a server's own life decides; nobody else may set them.
var Managed = []string{
	"cluster_name", "config_file", "data_directory", "external_pid_file", "hba_file", "ident_file", "listen_addresses", "password_encryption",
	"port", "ssl", "unix_socket_directories", "unix_socket_group", "unix_socket_permissions",
}

// Who may connect: over TCP whoever knows a password; over the socket only root and the server's own user, as the kernel says. The
// socket lies in the data directory, which nobody else may enter. So the administrator's password can be set again by whoever owns
// the server's files anyway, without knowing the old one, and there is no trust on any network address.
const hbaText = `# Written by Meridian; changes are overwritten.
local all         all             peer map=meridian
host  all         all 127.0.0.0/8 scram-sha-256
host  replication all 127.0.0.0/8 scram-sha-256
`

func identText(a machine.Account) string {
	var b strings.Builder
	b.WriteString("# Written by Meridian; changes are overwritten.\n")
	for _, name := range slices.Compact([]string{"root", a.Name}) {
		fmt.Fprintf(&b, "meridian %s %s\n", quoteIdent(name), AdminUser)
	}
	return b.String()
}

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// quoteValue quotes a value for a configuration file. A line break cannot be written there.
func quoteValue(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", " ", "\r", " ").Replace(s) + "'"
}

func (s Spec) confText() string {
	values := maps.Clone(s.Settings)
	if values == nil {
		values = map[string]string{}
	}
	values["listen_addresses"] = s.Address
	values["port"] = strconv.Itoa(s.Port)
	values["cluster_name"] = s.clusterName()
	values["unix_socket_directories"] = "." // the data directory: no path is too long for it, and nobody else may enter
	values["unix_socket_permissions"] = "0700"
	values["password_encryption"] = "scram-sha-256"
	var b strings.Builder
	b.WriteString("# Written by Meridian; changes are overwritten.\n")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s = %s\n", name, quoteValue(values[name]))
	}
	return b.String()
}

// clusterName is the server's name as `ps` shows it: PostgreSQL takes 63 bytes of printable ASCII.
func (s Spec) clusterName() string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s.Name)
	return name[:min(len(name), 63)]
}

// configure writes the server's configuration files; it reports whether any of them changed.
func (s Spec) configure(a machine.Account) (bool, error) {
	changed := false
	for name, text := range map[string]string{confName: s.confText(), "pg_hba.conf": hbaText, "pg_ident.conf": identText(a)} {
		path := filepath.Join(s.dataDir(), name)
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, []byte(text)) {
			continue
		}
		if err := a.ReplaceFile(path, []byte(text), true); err != nil {
			return false, err
		}
		changed = true
	}
	return changed, nil
}

func checkSettings(settings map[string]string) error {
	for name, value := range settings {
		if !settingName.MatchString(name) {
			return fmt.Errorf("setting %q: no name of a parameter", name)
		}
		if slices.Contains(Managed, strings.ToLower(name)) {
			return fmt.Errorf("setting %s is decided by Meridian", name)
		}
		if strings.ContainsAny(value, "\n\r\x00") {
			return fmt.Errorf("setting %s: a value has one line", name)
		}
	}
	return nil
}
