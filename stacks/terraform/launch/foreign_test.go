package launch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// foreignProvider is a big provider by another vendor, where a mirror on this machine has it.
func foreignProvider(t *testing.T, parent []string) stacks.ProviderRequirement {
	t.Helper()
	if testing.Short() {
		t.Skip("a big provider takes seconds")
	}
	for _, version := range []string{"5.100.0"} {
		p := stacks.ProviderRequirement{LocalName: "aws", Source: "hashicorp/aws", Version: version}
		if len(ExistingMirrors(parent, []stacks.ProviderRequirement{p})) == 1 {
			return p
		}
	}
	t.Skip("no mirror with the provider on this machine")
	return stacks.ProviderRequirement{}
}

// TestForeignProvider plans a cloud's database beside our own plugin, from a mirror that was found, and reads the plan in both ways.
func TestForeignProvider(t *testing.T) {
	foreign := foreignProvider(t, os.Environ())
	site := newSite(t)
	binary := realBinary(t, site)
	own := lay(t, site)
	s, _ := stageStack(t, site, binary, nil, own, foreign)
	s.env = append(s.env, "AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none")
	s.write(t, "main.tf", `terraform {
  required_providers {
    aws = {
      source  = "`+foreign.Source+`"
      version = "`+foreign.Version+`"
    }
    localdb = {
      source  = "`+own.Source+`"
      version = "`+own.Version+`"
    }
  }
}
provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}
variable "pw" {
  type      = string
  ephemeral = true
}
resource "aws_db_instance" "classic" {
  identifier        = "classic"
  instance_class    = "db.t4g.micro"
  engine            = "postgres"
  allocated_storage = 20
  username          = "admin1"
  password          = "`+secretText+`"
  tags              = { team = "shop", "a b" = "c" }
}
resource "aws_db_instance" "modern" {
  identifier          = "modern"
  instance_class      = "db.t4g.micro"
  engine              = "postgres"
  allocated_storage   = 20
  username            = "admin1"
  password_wo         = var.pw
  password_wo_version = 1
}
`)
	p := s.plan(t, 2, PlanOptions{})
	if len(p.Changes) != 2 || p.Changes[0].Type != "aws_db_instance" || p.Changes[0].Action != stacks.ActionCreate {
		t.Errorf("changes are %s", pretty(t, p.Changes))
	}
	if text := pretty(t, p); strings.Contains(text, secretText) || !strings.Contains(text, `tags[\"a b\"]`) {
		t.Errorf("changes are %s", text)
	}
}

// TestTofu takes a stack through OpenTofu, where there is one: found, template, plan read by show, apply.
func TestTofu(t *testing.T) {
	if _, err := exec.LookPath(ProductTofu); err != nil {
		t.Skip("no tofu on PATH")
	}
	site := newSite(t)
	binary, err := Find(t.Context(), site, ProductTofu)
	if err != nil {
		t.Fatal(err)
	}
	provider := lay(t, site)
	s, _ := stageStack(t, site, binary, nil, provider)
	target := filepath.Join(t.TempDir(), "object")
	s.write(t, "main.tf", pluginConfig(provider, `resource "localdb_file" "x" {
  path      = "`+target+`"
  secret    = "sensitive-by-schema"
  secret_wo = var.pw
}`))
	if out, code := s.run(t, PlanArgs(PlanOptions{})...); code != 2 {
		t.Fatalf("plan: exit %d: %s", code, out)
	}
	show, err := ShowPlan(t.Context(), s.call())
	if err != nil {
		t.Fatal(err)
	}
	p, err := terraform.ChangesFromShow(show, nil)
	if err != nil || len(p.Changes) != 1 || strings.Contains(pretty(t, p), "sensitive-by-schema") {
		t.Errorf("changes are %s, %v", pretty(t, p), err)
	}
	s.apply(t)
	if _, err := os.Stat(target); err != nil {
		t.Error(err)
	}
}
