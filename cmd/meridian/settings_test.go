package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/persistence/store"
	"meridian/persistence/temporal"
)

func TestSettingsAreReadStrictly(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"unknown field":          {"temporal:\n  stor: postgres\n", `s.yaml:2:3: unknown field "stor"`},
		"unknown field, deeper":  {"temporal:\n  store: postgres\n  postgres:\n    url: postgres://m@h/d\n    pasword: x\n", `s.yaml:5:5: unknown field "pasword"`},
		"another kind":           {"temporal:\n  shards: many\n", "s.yaml:2:11: this is of another kind"},
		"no yaml":                {"temporal: {store: postgres\n", "s.yaml:1:"},
		"twice":                  {"temporal:\n  shards: 1\n  shards: 2\n", "s.yaml:3:3: "},
		"unknown store":          {"temporal:\n  store: mysql\n", `s.yaml:2:10: temporal.store: unknown store "mysql"`},
		"a store without place":  {"temporal:\n  store: cassandra\n", "s.yaml:2:10: temporal.store: store cassandra wants temporal.cassandra"},
		"a place without store":  {"temporal:\n  postgres:\n    url: postgres://m@h/d\n", "temporal.postgres: it is given, but temporal.store is sqlite"},
		"a password in clear":    {"temporal:\n  store: postgres\n  postgres:\n    url: postgres://m:hunter2@h/d\n", "s.yaml:4:10: temporal.postgres.url: a password does not belong"},
		"two secrets":            {"temporal:\n  store: postgres\n  postgres:\n    url: postgres://m@h/d\n    password: {file: a, env: B}\n", "temporal.postgres.password: want one of file, env and command"},
		"external and a store":   {"temporal:\n  store: sqlite\n  external: {address: 'a:1', namespace: n}\n", "temporal.external: an external server has a store of its own"},
		"a key without TLS":      {"temporal:\n  external: {address: 'a:1', namespace: n, apiKey: {file: k}}\n", "over TLS alone"},
		"a weak consistency":     {"temporal:\n  store: cassandra\n  cassandra: {hosts: [h], consistency: ONE}\n", "temporal.cassandra.consistency"},
		"astra without a token":  {"temporal:\n  store: astra\n  astra: {bundle: b.zip}\n", "temporal.astra.token"},
		"two stores":             {"store: {sqlite: {}, postgres: {url: postgres://m@h/d}}\n", "store: want one of sqlite and postgres"},
		"the store's password":   {"store:\n  postgres:\n    url: postgres://m:hunter2@h/d\n", "s.yaml:3:10: store.postgres.url: a password does not belong"},
		"a secret by mistake":    {"temporal:\n  store: [hunter2]\n", "s.yaml:2:"},
		"two documents":          {"temporal: {}\n---\ntemporal: {}\n", "want one document"},
		"shards of SQLite":       {"temporal: {shards: 4}\n", "SQLite has one shard"},
		"lists beside SQLite":    {"temporal: {visibility: {sqlite: {}}}\n", "SQLite holds Temporal's lists itself"},
		"a certificate, no key":  {"temporal:\n  external: {address: 'a:1', namespace: n, tls: {cert: c}}\n", "temporal.external.tls: cert and key go together"},
		"lists in two places":    {"temporal:\n  store: cassandra\n  cassandra: {hosts: [h]}\n  visibility: {sqlite: {}, postgres: {url: postgres://m@h/d}}\n", "temporal.visibility: want one of"},
		"a user, no password":    {"temporal:\n  store: cassandra\n  cassandra: {hosts: [h], user: u}\n", "user and password go together"},
		"a schema to escape":     {"temporal:\n  store: postgres\n  postgres: {url: postgres://m@h/d, schema: 'a b'}\n", "temporal.postgres.schema"},
		"a module's address":     {"modules:\n  allow: ['a b']\n", `modules: "a b" names no source`},
		"modules, another word":  {"modules:\n  allowed: []\n", `s.yaml:2:3: unknown field "allowed"`},
		"no run is kept":         {"retention:\n  days: 3\n  runs: 0\n", "s.yaml:3:9: retention.runs: want 1 to"},
		"kept for no time":       {"retention: {days: -1}\n", "retention.days: want 1 to"},
		"retention, a word":      {"retention: {runs: all}\n", "s.yaml:1:"},
		"a life that is no time": {"temporal:\n  store: postgres\n  postgres: {url: postgres://m@h/d, maxConnLifetime: long}\n", "s.yaml:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseSettings("s.yaml", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the error holds a secret")
			}
		})
	}
}

func TestSettingsSayWhereThingsAre(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "meridian.yaml")
	for name, text := range map[string]string{"pw": "s3cret/@\n", "meridian.yaml": `
store:
  postgres:
    url: postgres://m@db:5432/meridian?sslmode=verify-full
    password: {file: pw}
temporal:
  store: cassandra
  shards: 512
  cassandra:
    hosts: [10.0.0.1, 10.0.0.2]
    user: meridian
    password: {command: [vault, read, x]}
    tls: {ca: certs/ca.pem}
    replication: {dc1: 3}
  visibility:
    postgres:
      url: postgres://m@db/meridian
      maxConnLifetime: 10m
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(settingsEnv, file)
	s, err := loadSettings("")
	if err != nil {
		t.Fatal(err)
	}
	where, err := s.where(context.Background(), "", dir)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := u.User.Password(); password != "s3cret/@" || u.Host != "db:5432" || u.Query().Get("sslmode") != "verify-full" {
		t.Errorf("the store is at %s", u.Redacted())
	}
	c := s.Temporal.Cassandra
	if s.Temporal.Store != temporal.StoreCassandra || c.TLS.CA != filepath.Join(dir, "certs/ca.pem") || c.Replication["dc1"] != 3 || c.Password.Command[0] != "vault" {
		t.Errorf("temporal is %+v, cassandra %+v", s.Temporal, c)
	}
	if life := s.Temporal.Visibility.Postgres.MaxConnLifetime; life != temporal.Duration(10*60*1e9) {
		t.Errorf("connections live for %v", life)
	}
	if _, err := s.where(context.Background(), "postgres://m@elsewhere/d", dir); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("a store by flag too: %v", err)
	}

	s.Store.Postgres.Password = &temporal.Secret{Command: []string{"print-token", "a b"}}
	if where, err = s.where(context.Background(), "", dir); err != nil || !strings.Contains(where, "print-token") {
		t.Errorf("with a command: %s, %v", where, err)
	}
	t.Setenv(settingsEnv, "")
	s, err = loadSettings("")
	if err != nil {
		t.Fatal(err)
	}
	if where, err := s.where(context.Background(), "", dir); where != dir || err != nil {
		t.Errorf("without settings the store is at %s, %v", where, err)
	}
	if s.Temporal.Encrypted() {
		t.Error("our own server's payloads are sealed without being asked to")
	}
	if s, err = parseSettings("s.yaml", []byte("temporal: {external: {address: 'a:1', namespace: n}}")); err != nil || !s.Temporal.Encrypted() {
		t.Errorf("an external server's payloads are not sealed: %v", err)
	}
	t.Setenv(store.Env, "")
	if _, err := loadSettings(filepath.Join(dir, "nothing.yaml")); err == nil {
		t.Error("a file that is not there was read")
	}
}
