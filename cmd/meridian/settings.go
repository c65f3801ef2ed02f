package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"meridian/persistence/store"
	"meridian/persistence/temporal"
	"meridian/providers/module"
)

// settings are what the file says that --config names. Server, workers and the verbs of persistence read the same one.
type settings struct {
	// Store is where catalog and journal are: SQLite in the data directory unless said.
	Store *storeSettings `yaml:"store,omitempty"`
	// Temporal is where Temporal keeps its state, or which server of somebody else is used.
	Temporal temporal.Settings `yaml:"temporal,omitempty"`
	// Modules says which modules specs may name with provider module: any unless said.
	Modules *module.Limits `yaml:"modules,omitempty"`
	// Retention says how much of old runs is kept.
	Retention *retention `yaml:"retention,omitempty"`
}

// storeSettings name one store.
type storeSettings struct {
	SQLite   *struct{}        `yaml:"sqlite,omitempty"`
	Postgres *storeInPostgres `yaml:"postgres,omitempty"`
}

type storeInPostgres struct {
	// URL is postgres://USER@HOST:PORT/DATABASE, without a password.
	URL string `yaml:"url"`
	// Password is where the password comes from; a command is run for each connection.
	Password *temporal.Secret `yaml:"password,omitempty"`
}

// settingsEnv names the settings file where no flag does.
const settingsEnv = "MERIDIAN_CONFIG"

// loadSettings reads the file that the flag, or else the variable, names. Without one the settings are empty.
func loadSettings(flag string) (settings, error) {
	path := flag
	if path == "" {
		path = os.Getenv(settingsEnv)
	}
	if path == "" {
		return settings{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return settings{}, &exitError{Code: exitFailed, What: "settings: " + err.Error(), Next: "name a file that is there with --config"}
	}
	return parseSettings(path, text)
}

// parseSettings reads settings strictly. Its errors name file, line and column, and quote nothing of the file.
func parseSettings(path string, text []byte) (s settings, err error) {
	wrong := func(line, column int, what string) error {
		return &exitError{Code: exitFailed, What: fmt.Sprintf("%s:%d:%d: %s", path, line, column, what), Next: "docs/persistence.md describes the settings"}
	}
	file, err := parser.ParseBytes(text, 0)
	if err == nil && len(file.Docs) > 1 {
		return s, wrong(1, 1, "want one document")
	}
	if err == nil && len(strings.TrimSpace(string(text))) > 0 {
		err = yaml.UnmarshalWithOptions(text, &s, yaml.Strict())
	}
	var at yaml.Error
	switch {
	case errors.As(err, &at):
		position := at.GetToken().Position
		return s, wrong(position.Line, position.Column, plainMessage(at))
	case err != nil:
		return s, wrong(1, 1, "it cannot be read as YAML")
	}
	faults := s.Temporal.Check()
	faults = append(faults, s.Store.check()...)
	faults = append(faults, s.Retention.check()...)
	if why := s.Modules.Check(); why != "" {
		faults = append(faults, temporal.Fault{Field: "modules", What: why})
	}
	if len(faults) > 0 {
		line, column := position(file, faults[0].Field)
		return s, wrong(line, column, faults[0].Error())
	}
	s.relativeTo(filepath.Dir(path))
	return s, nil
}

// unknownField is the one message of the reader that may quote something: the name of a field.
var unknownField = regexp.MustCompile(`^unknown field "[A-Za-z0-9_.-]{1,64}"$`)

// plainMessage says what is wrong without quoting a value, which could be a secret in the wrong place.
func plainMessage(err yaml.Error) string {
	var unknown *yaml.UnknownFieldError
	var twice *yaml.DuplicateKeyError
	var syntax *yaml.SyntaxError
	switch {
	case errors.As(err, &unknown) && unknownField.MatchString(err.GetMessage()):
		return err.GetMessage()
	case errors.As(err, &unknown):
		return "unknown field"
	case errors.As(err, &twice):
		return "the field is there twice"
	case errors.As(err, &syntax):
		return "this is no YAML: look at the indentation and the quotes"
	}
	return "this is of another kind than the field wants (a text, a number, a list, a mapping)"
}

// position is where a field is in the file, or the nearest thing around it.
func position(file *ast.File, field string) (line, column int) {
	for ; field != ""; field, _ = cutLast(field) {
		path, err := yaml.PathString("$." + field)
		if err != nil {
			continue
		}
		node, err := path.FilterFile(file)
		if err == nil && node != nil && node.GetToken() != nil {
			p := node.GetToken().Position
			return p.Line, p.Column
		}
	}
	return 1, 1
}

func cutLast(field string) (before, last string) {
	i := strings.LastIndex(field, ".")
	if i < 0 {
		return "", field
	}
	return field[:i], field[i+1:]
}

func (s *storeSettings) check() (out []temporal.Fault) {
	if s == nil {
		return nil
	}
	if (s.SQLite != nil) == (s.Postgres != nil) {
		return []temporal.Fault{{Field: "store", What: "want one of sqlite and postgres"}}
	}
	if s.Postgres == nil {
		return nil
	}
	// What is asked of Temporal's database is asked of ours.
	as := temporal.Settings{Store: temporal.StorePostgres, Postgres: &temporal.Postgres{URL: s.Postgres.URL, Password: s.Postgres.Password}}
	for _, f := range as.Check() {
		f.Field = strings.Replace(f.Field, "temporal.", "store.", 1)
		out = append(out, f)
	}
	return out
}

// relativeTo makes the paths of files in the settings relative to the settings file.
func (s *settings) relativeTo(dir string) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return
	}
	s.Temporal.RelativeTo(absolute)
	if s.Store != nil && s.Store.Postgres != nil {
		s.Store.Postgres.Password.RelativeTo(absolute)
	}
}

// where is what store.Open takes: what the flag or the variable says, else the settings.
func (s *settings) where(ctx context.Context, flag, dir string) (string, error) {
	if s.Store == nil {
		return store.Where(flag, dir)
	}
	if flag != "" || os.Getenv(store.Env) != "" {
		return "", &exitError{Code: exitFailed, What: "the store is named twice, in the settings file and by --store or " + store.Env, Next: "keep one of them"}
	}
	if s.Store.Postgres == nil {
		return dir, nil
	}
	p := s.Store.Postgres
	u, err := url.Parse(p.URL)
	switch {
	case err != nil:
		return "", errors.New("store.postgres.url cannot be read")
	case p.Password == nil:
	case len(p.Password.Command) > 0:
		return store.WithPasswordCommand(p.URL, p.Password.Command)
	default:
		password, err := p.Password.Read(ctx)
		if err != nil {
			return "", fmt.Errorf("store: %w", err)
		}
		u.User = url.UserPassword(u.User.Username(), password)
	}
	return u.String(), nil
}
