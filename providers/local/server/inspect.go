package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// Inspect asks a running server what it has of the wished spec. One that is just starting is waited for, a little.
func Inspect(ctx context.Context, wished Spec) (Info, error) {
	m, err := readMarker(wished.Home)
	if err != nil {
		return Info{}, err
	}
	if err := m.checkOwner(wished.Owner); err != nil {
		return Info{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := wished.awaitReady(waiting); err != nil {
		return Info{}, err
	}
	conn, err := wished.connect(ctx)
	if err != nil {
		return Info{}, err
	}
	defer closeConn(conn)
	info, err := wished.info(ctx, conn)
	info.Has.Name, info.Has.PasswordVersion = m.Name, m.PasswordVersion
	return info, err
}

// info reads what the server is, and refuses one that runs on another directory.
func (s Spec) info(ctx context.Context, conn *pgx.Conn) (Info, error) {
	id, err := s.identify(ctx, conn)
	if err != nil {
		return Info{}, err
	}
	if !sameFile(id.data, s.dataDir()) {
		return Info{}, fmt.Errorf("the server that answers in %s runs on %s: %w", s.Home, id.data, providers.ErrForeign)
	}
	have, err := readSettings(ctx, conn)
	if err != nil {
		return Info{}, err
	}
	stored, err := verifier(ctx, conn)
	if err != nil {
		return Info{}, err
	}
	stamp := sha256.Sum256([]byte(stored))
	p, _ := postmaster(s.dataDir())
	info := Info{Has: s, PID: p.pid, Version: id.version, SystemIdentifier: id.systemID, PasswordStamp: hex.EncodeToString(stamp[:])}
	info.Has.Settings = compare(s.Settings, have)
	info.Has.Address, info.Has.Port = have["listen_addresses"].value, p.port
	return info, nil
}

// compare returns the wished settings in the words of the wish where the server has what they mean, else in the server's words.
func compare(wished map[string]string, have map[string]setting) map[string]string {
	if wished == nil {
		return nil
	}
	out := make(map[string]string, len(wished))
	for name, text := range wished {
		v, ok := have[strings.ToLower(name)]
		switch {
		case !ok:
			out[name] = text // an extension's, which no session has loaded
		case v.means(text):
			out[name] = text
		default:
			out[name] = v.shown()
		}
	}
	return out
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return errors.Join(err1, err2) == nil && os.SameFile(x, y)
}

// reload drops what ALTER SYSTEM set over the spec's settings and has the server read its files again; it reports whether that takes a restart.
func (s Spec) reload(ctx context.Context, conn *pgx.Conn) (restart bool, err error) {
	rows, err := conn.Query(ctx, `select distinct name from pg_file_settings where sourcefile like '%/postgresql.auto.conf' and lower(name) = any($1)`,
		s.decided())
	if err != nil {
		return false, err
	}
	overridden, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return false, err
	}
	for _, name := range overridden {
		if _, err := conn.Exec(ctx, "alter system reset "+quoteSetting(name)); err != nil {
			return false, err
		}
	}
	var before time.Time
	if err := conn.QueryRow(ctx, "select pg_conf_load_time() from pg_reload_conf()").Scan(&before); err != nil {
		return false, err
	}
	// A session reads the files between two commands, once the postmaster has told it to.
	const reloadFor = 2 * time.Second
	for deadline := time.Now().Add(reloadFor); time.Now().Before(deadline); {
		var loaded time.Time
		if err := conn.QueryRow(ctx, "select pg_conf_load_time(), exists (select from pg_settings where pending_restart)").Scan(&loaded, &restart); err != nil {
			return false, err
		}
		if loaded.After(before) {
			return restart, nil
		}
		if err := machine.Pause(ctx, pollEvery); err != nil {
			return false, err
		}
	}
	return true, nil
}

// decided lists the parameters that the spec decides, in lower case: PostgreSQL does not tell a from A in their names.
func (s Spec) decided() []string {
	names := slices.Clone(Managed)
	for name := range s.Settings {
		names = append(names, strings.ToLower(name))
	}
	return names
}

// quoteSetting quotes a parameter's name; an extension's has its prefix apart.
func quoteSetting(name string) string {
	prefix, rest, ok := strings.Cut(name, ".")
	if !ok {
		return quoteIdent(name)
	}
	return quoteIdent(prefix) + "." + quoteIdent(rest)
}
