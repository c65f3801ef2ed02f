package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"meridian/providers/aws"
	"meridian/providers/aws/mototest"
	"meridian/stacks"
)

// serviceModule is somebody's module for AWS, shaped like the well-known ones: data sources, nested modules of which one is called with another
// region's provider, for_each over a map of objects with optional attributes, a sensitive variable and a sensitive output.
var serviceModule = map[string]string{
	"versions.tf": `terraform {
  required_providers {
    aws = {
      source                = "hashicorp/aws"
      version               = ">= 5.0"
      configuration_aliases = [aws.replica]
    }
  }
}
`,
	"variables.tf": `variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "replica" {
  type = object({
    vpc_id = string
    port   = optional(number, 8443)
  })
  default = null
}

variable "rules" {
  type = map(object({
    port = number
    cidr = optional(string, "10.0.0.0/8")
  }))
  default = {}
}

variable "token" {
  type      = string
  sensitive = true
}

variable "endpoint" {
  type = string
}

variable "tags" {
  type    = map(string)
  default = {}
}
`,
	"main.tf": `data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

data "aws_region" "replica" {
  provider = aws.replica
}

data "aws_availability_zones" "here" {
  state = "available"
}

data "aws_vpc" "this" {
  id = var.vpc_id
}

locals {
  tags = merge({ Module = "service" }, var.tags)
}

module "access" {
  source = "./modules/access"

  name   = "${var.name}-${data.aws_region.current.name}"
  vpc_id = data.aws_vpc.this.id
  rules  = var.rules
  tags   = local.tags
}

module "access_replica" {
  source    = "./modules/access"
  count     = var.replica == null ? 0 : 1
  providers = { aws = aws.replica }

  name   = "${var.name}-${data.aws_region.replica.name}"
  vpc_id = var.replica.vpc_id
  rules  = { only = { port = var.replica.port } }
  tags   = local.tags
}

resource "aws_ssm_parameter" "token" {
  for_each = toset(["reader", "writer"])

  name  = "/${var.name}/${each.key}"
  type  = "SecureString"
  value = "${each.key}-${var.token}"
  tags  = local.tags
}
`,
	"outputs.tf": `output "endpoint" {
  value = var.endpoint
}

output "account" {
  value = data.aws_caller_identity.current.account_id
}

output "zones" {
  value = data.aws_availability_zones.here.names
}

output "groups" {
  value = concat([module.access.id], module.access_replica[*].id)
}

output "token" {
  value     = aws_ssm_parameter.token["writer"].value
  sensitive = true
}
`,
	"modules/access/main.tf": `terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "name" {}
variable "vpc_id" {}
variable "tags" {}

variable "rules" {
  type = map(object({
    port = number
    cidr = optional(string, "10.0.0.0/8")
  }))
}

resource "aws_security_group" "this" {
  name        = var.name
  description = "who may reach the service"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.rules

  security_group_id = aws_security_group.this.id
  description       = each.key
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.cidr
  tags              = var.tags
}

output "id" {
  value = aws_security_group.this.id
}
`,
}

// service is a spec of that module, over two regions of AWS.
func (w *awsWorld) service(endpoint string) string {
	return fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: service}
spec:
  engine: {name: none}
  regions:
    - name: main
      provider: module
      role: primary
      settings:
        source: ./module
        requiredProviders:
          aws: {source: hashicorp/aws, version: %q}
        providers:
          aws: {region: %s}
          aws.replica: {region: %s}
        inputs:
          name: service
          vpc_id: %s
          replica: {vpc_id: %s}
          rules: {web: {port: 443}, admin: {port: 8443, cidr: 10.1.0.0/16}}
          token: {secret: token}
          endpoint: %q
          tags: {Team: shop}
        outputs: {endpoint: endpoint, export: [account, zones, groups]}
        dataBearing: [aws_ssm_parameter]
  deletion: {protect: false}
`, aws.PluginVersion, frankfurt, virginia, w.Regions[frankfurt].VPC, w.Regions[virginia].VPC, endpoint)
}

// ingress lists the rules of the service's security group in a region, "name port source".
func (w *awsWorld) ingress(location string) (out []string, ids []string) {
	w.site.t.Helper()
	ctx := context.Background()
	groups, err := w.ec2(location).DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{{Name: sdk.String("group-name"), Values: []string{"service-" + location}}},
	})
	w.must(err)
	for _, g := range groups.SecurityGroups {
		rules, err := w.ec2(location).DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{
			Filters: []types.Filter{{Name: sdk.String("group-id"), Values: []string{*g.GroupId}}},
		})
		w.must(err)
		for _, r := range rules.SecurityGroupRules {
			if !*r.IsEgress {
				out = append(out, fmt.Sprintf("%s %d %s", sdk.ToString(r.Description), *r.FromPort, sdk.ToString(r.CidrIpv4)))
				ids = append(ids, *g.GroupId+" "+*r.SecurityGroupRuleId)
			}
		}
		out = append(out, "group "+*g.GroupName)
	}
	slices.Sort(out)
	return out, ids
}

// awsModule makes what somebody's module for AWS describes with the real provider, in two of its regions, waits until it accepts, finds nothing to
// change, finds a rule that was deleted outside and puts it back, and leaves nothing; its secret stands nowhere in clear.
func awsModule(t *testing.T) {
	w := newAWS(t)
	s, m := w.site, w.m
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	address := l.Addr().String()
	w.must(l.Close())
	spec := w.service(address)
	v, err := m.submitWith(spec, serviceModule)
	w.must(err)
	s.eventually("the gate waits for somebody who accepts", func() error {
		run, err := m.Run(t.Context(), v.ID)
		switch {
		case err != nil:
			return err
		case run.Phase.Ended():
			t.Fatalf("the run is %s: %s\n%s", run.Phase, run.Message, m.runLog(v.ID))
		case !strings.Contains(fmt.Sprint(run.Regions), "nothing accepts at "+address):
			return fmt.Errorf("it is %s: %+v", run.Phase, run.Regions)
		}
		return nil
	})
	l, err = net.Listen("tcp", address)
	w.must(err)
	defer l.Close()
	s.wantDone(m, v.ID)

	here := []string{"admin 8443 10.1.0.0/16", "group service-" + frankfurt, "web 443 10.0.0.0/8"}
	there := []string{"group service-" + virginia, "only 8443 10.0.0.0/8"}
	for location, want := range map[string][]string{frankfurt: here, virginia: there} {
		if got, _ := w.ingress(location); !slices.Equal(got, want) {
			t.Errorf("AWS has in %s %q, want %q", location, got, want)
		}
	}
	state, err := m.journal.LatestState(t.Context(), stacks.StackID{Namespace: stacks.DefaultNamespace, Name: "service", Incarnation: m.incarnation("service"), Region: "main"})
	w.must(err)
	if !strings.Contains(string(state.Payload), `"`+mototest.Account+`"`) {
		t.Error("the account, which a data source tells, is not among the outputs")
	}
	if again := m.doneWith(spec, serviceModule); again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}
	m.wantDrift(m.checkDrift("service"))

	_, ids := w.ingress(virginia)
	group, rule, _ := strings.Cut(ids[0], " ")
	_, err = w.ec2(virginia).RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{GroupId: &group, SecurityGroupRuleIds: []string{rule}})
	w.must(err)
	m.wantDrift(m.checkDrift("service"), `gone main: module.database.module.access_replica[0].aws_vpc_security_group_ingress_rule.this["only"]`)
	m.mended("service")
	if got, _ := w.ingress(virginia); !slices.Equal(got, there) {
		t.Errorf("put back, AWS has %q, want %q", got, there)
	}

	token, err := m.catalog.Secret(t.Context(), m.incarnation("service"), "region/main/token")
	w.must(err)
	hay := newHaystack(secret{"token", token})
	for id, text := range m.payloads() {
		if found := hay.find(text); len(found) > 0 {
			t.Errorf("the history of %s holds %v", id, found)
		}
	}
	m.destroy("service")
	for _, location := range []string{frankfurt, virginia} {
		if got, _ := w.ingress(location); len(got) > 0 {
			t.Errorf("AWS still has in %s %q", location, got)
		}
	}
	m.nothingLeft()
	m.close()
	s.search(hay)
}
