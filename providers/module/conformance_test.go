package module_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"meridian/providers/conformance"
	"meridian/providers/module"
	"meridian/stacks"
)

const conformingModule = `
-- module/main.tf --
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
}

variable "identifier" {
  type = string
}

variable "password" {
  type      = string
  ephemeral = true
}

resource "aws_db_instance" "this" {
  identifier  = var.identifier
  password_wo = var.password
}

output "endpoint" {
  value = aws_db_instance.this.endpoint
}

output "user" {
  value = aws_db_instance.this.username
}
`

const conformingSpec = `apiVersion: meridian/v1
kind: Database
metadata: {name: orders}
spec:
  engine: {name: postgres, version: "15"}
  regions:
    - {name: one, provider: module, role: primary, settings: {source: ./module, inputs: {identifier: one, password: {secret: admin}}, providers: {aws: {region: eu-central-1}}, outputs: {endpoint: endpoint, user: user}, endpoint: {secret: admin}}}
    - {name: two, provider: module, role: replica, settings: {source: ./module, inputs: {identifier: two, password: {secret: admin}}, providers: {aws: {region: eu-west-1}}, outputs: {endpoint: endpoint, user: user}, endpoint: {secret: admin}}}
`

// effective is the effective spec of a text that has to be accepted.
func effective(t *testing.T, text string) stacks.Database {
	t.Helper()
	loaded, ds := stacks.Check(t.Context(), []stacks.Source{{Name: "spec.yaml", Text: []byte(text)}}, "", registry())
	if len(ds) > 0 {
		t.Fatalf("refused:\n%s", report(ds))
	}
	out, err := stacks.Default(t.Context(), loaded[0].Spec, registry())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Suite{
		Provider: module.New(),
		Database: effective(t, conformingSpec),
		Package:  packageOf(t, txtar.Parse([]byte(conformingModule)).Files),
		Outputs: func(stacks.Placement) map[string]any {
			return map[string]any{"endpoint": "db.example.com:5432", "user": "root"}
		},
		Blind: true,
	})
}
