// Package stacks holds the domain's words for everybody: Spec, Stack, Placement, Change, Endpoint, Diagnostic, Phase;
// it loads, validates and defaults specs, renders them to Terraform, and prints their JSON schema.
//
// It is pure: no clock, no network, no database, no Temporal, no process. It never reads a secret's value.
package stacks
