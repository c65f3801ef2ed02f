package chaos

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// foreignRegion is the one region of a database that a module of somebody else makes.
const foreignRegion = "izmir"

// foreignModule makes directories in two waves after something that is in a state alone, and whose ID is in each of them. Meridian cannot
// look any of it up. Terraform begins a wave when the one before is in its state, so whoever sees one begin knows what terraform knew.
const foreignModule = `terraform {
  required_providers {
    localdb = {
      source = "meridian.internal/meridian/localdb"
    }
  }
}

variable "home" {
  type = string
}

variable "note" {
  type = string
}

variable "directories" {
  type = number
}

locals {
  all   = { for n in range(1, var.directories + 1) : format("%02d", n) => format("%s.beside.%02d", var.home, n) }
  first = { for k, path in local.all : k => path if tonumber(k) * 2 <= var.directories + 1 }
}

resource "terraform_data" "identity" {}

resource "localdb_directory" "first" {
  for_each = local.first

  path  = each.value
  owner = "somebody-else"
  note  = "${terraform_data.identity.id} ${var.note}"
}

resource "localdb_directory" "second" {
  for_each   = { for k, path in local.all : k => path if !contains(keys(local.first), k) }
  depends_on = [localdb_directory.first]

  path  = each.value
  owner = "somebody-else"
  note  = "${terraform_data.identity.id} ${var.note}"
}
`

// foreignSpec is a database that the module makes. Each round changes what the directories' marks say.
func (w *witness) foreignSpec(round int) string {
	home := filepath.Join(w.Data, "servers", strings.Join([]string{"default", w.name, w.foreign, foreignRegion}, "."))
	return fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: %s}
spec:
  engine: {name: none}
  regions:
    - name: %s
      provider: module
      role: primary
      settings:
        source: ./objects
        requiredProviders: {localdb: {source: meridian.internal/meridian/localdb, version: %q}}
        inputs: {home: %q, note: "round %d", directories: %d}
  deletion: {protect: false}
`, w.name, foreignRegion, w.plugin, home, round, w.Directories)
}

// packedModule is the module as a client sends it.
func packedModule() ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	files := []map[string]any{{"path": "main.tf", "content": []byte(foreignModule)}}
	err := errors.Join(json.NewEncoder(z).Encode(files), z.Close())
	return out.Bytes(), err
}

// findPlugin asks which version of our plugin the module has to name: one that was never released has to be named exactly.
func (s *suite) findPlugin(ctx context.Context) error {
	var found struct {
		Plugins []struct{ Source, Version string }
	}
	text, err := exec.CommandContext(ctx, filepath.Join(s.Bin, "meridian-runner"), "find", "--data", s.Data).Output()
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	for _, p := range found.Plugins {
		if strings.HasSuffix(p.Source, "/localdb") {
			s.plugin = p.Version
			return nil
		}
	}
	return fmt.Errorf("the version of the plugin: %q: %w", text, err)
}

// question is what a run asks about an interrupted object.
type question struct {
	Region   string `json:"region"`
	Address  string `json:"address"`
	Evidence string `json:"evidence"`
}

var foreignDirectory = regexp.MustCompile(`localdb_directory\.(first|second)\["(\d\d)"\]$`)

// object names what a question is about: its path, "" where it has none, and the wave that makes it, the third where it is none of the module's.
func (q question) object(home string) (path string, wave int) {
	switch found := foreignDirectory.FindStringSubmatch(q.Address); {
	case found != nil && found[1] == "first":
		return home + ".beside." + found[2], 1
	case found != nil:
		return home + ".beside." + found[2], 2
	case strings.HasSuffix(q.Address, "terraform_data.identity"):
		return "", 0
	}
	return "", 3
}

// begun is the last wave that has begun to be made, going by the ledger: what waves before it make is in terraform's state. It is pure.
func begun(entries []entry, home string, directories int) (wave int) {
	for _, e := range entries {
		n, ok := strings.CutPrefix(e.Path, home+".beside.")
		if !ok || e.Op != "create" {
			continue
		}
		if wave = max(wave, 1); n > fmt.Sprintf("%02d", (directories+1)/2) {
			return 2
		}
	}
	return wave
}

// answer answers what a run asks, as somebody would who knows the module and looks. To ask about what terraform had in its state is a flaw.
func (s *suite) answer(ctx context.Context, name string, r run) error {
	incarnation, _, _ := strings.Cut(r.ID, "-")
	home := s.home(name, incarnation, foreignRegion)
	entries, err := s.ledger.read()
	if err != nil {
		return err
	}
	for _, q := range r.Questions {
		path, wave := q.object(home)
		if !s.askedBefore(incarnation, q.Address) && (wave < begun(entries, home, s.Directories) || wave > 2) {
			s.found(flaw{"human", fmt.Sprintf("asked about what terraform knew: %s of %s: %s", q.Address, r.ID, q.Evidence)})
		}
		in := map[string]string{"region": q.Region, "address": q.Address, "answer": "absent", "actor": "chaos"}
		if birth, err := markBirth(path); err == nil && birth != "" {
			in["answer"], in["importId"] = "adopt", path
		}
		err := s.client.once(ctx, http.MethodPost, "/runs/"+r.ID+"/answer", in, &struct{}{})
		switch {
		case err == nil:
			s.mu.Lock()
			s.result.Answered++
			s.answered[incarnation+" "+q.Address] = true
			s.mu.Unlock()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default: // a lost answer, or a run that has moved on: the next look tells
			s.say("answer %s about %s: %v", r.ID, q.Address, err)
		}
	}
	return nil
}

// askedBefore reports whether a question about an object was answered before: what terraform takes over by an answer is in no state until it has
// finished something.
func (s *suite) askedBefore(incarnation, address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered[incarnation+" "+address]
}

// identity is the ID of what is in a state alone, which the marks of all of a home's directories say.
func identity(home string) (string, error) {
	paths, err := filepath.Glob(home + ".beside.*")
	if err != nil {
		return "", err
	}
	var ids []string
	for _, path := range paths {
		m, err := readMark(path)
		if err != nil {
			return "", err
		}
		if id, _, _ := strings.Cut(m.Note, " "); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) != 1 || ids[0] == "" {
		return "", fmt.Errorf("its directories speak of %d identities: %v", len(ids), ids)
	}
	return ids[0], nil
}
