package aws_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/providers/aws"
	"meridian/stacks"
)

const goodSpec = `apiVersion: meridian/v1
kind: Database
metadata: {name: orders}
spec:
  engine: {name: postgres, version: "16", parameters: {max_connections: "200"}}
  regions:
    - name: frankfurt
      provider: aws
      location: eu-central-1
      role: primary
      settings:
        account: "123456789012"
        network: {subnetGroup: databases, securityGroups: [sg-0a1b2c3d]}
`

// capabilities is a Meridian that has the provider aws.
func capabilities() *providers.Registry {
	return providers.NewRegistry([]providers.Provider{aws.New(aws.Config{Installation: "test"})}, []providers.Engine{postgres{}, mysql{}, mariadb{}, cassandra{}})
}

type postgres struct{}

func (postgres) Name() string { return "postgres" }

func (postgres) LinkModes() []stacks.LinkMode { return []stacks.LinkMode{stacks.LinkLogical} }

type mysql struct{}

func (mysql) Name() string { return "mysql" }

type mariadb struct{}

func (mariadb) Name() string { return "mariadb" }

type cassandra struct{}

func (cassandra) Name() string { return "cassandra" }

func TestSettingsAreReadStrictly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, rule, field string }{
		"good":                      {"", "", "", ""},
		"vpc":                       {"securityGroups: [sg-0a1b2c3d]", "vpc: vpc-0a1b, allow: [10.0.0.0/16]", "", ""},
		"a role":                    {"network:", "assumeRole: {arn: 'arn:aws:iam::123456789012:role/db', sessionLength: 3h}\n        network:", "", ""},
		"everything":                {"network:", "class: db.m6g.large\n        storage: {gib: 500, maxGib: 900, type: gp3, iops: 13000, throughput: 600, kmsKey: 'arn:aws:kms:eu-central-1:123456789012:key/x'}\n        multiAZ: false\n        backup: {retention: 14, window: '01:00-02:00'}\n        maintenance: {window: 'mon:04:00-mon:05:00', applyImmediately: true, minorUpgrades: true}\n        performanceInsights: false\n        logExports: [upgrade]\n        ca: rds-ca-ecc384-g1\n        finalSnapshot: false\n        public: true\n        tags: {team: shop}\n        network:", "", ""},
		"no location":               {"      location: eu-central-1\n", "", "location.unknown", "spec.regions[0].location"},
		"no version":                {`, version: "16"`, "", "engine.version", "spec.engine"},
		"an unknown field":          {"account:", "acount:", "spec.unknown-field", "spec.regions[0].settings.acount"},
		"no account":                {`account: "123456789012"`, `size: small`, "spec.required", "spec.regions[0].settings.account"},
		"an account without quotes": {`"123456789012"`, `123456789012`, "spec.type", "spec.regions[0].settings.account"},
		"a short account":           {`"123456789012"`, `"1234"`, "aws.settings", "spec.regions[0].settings.account"},
		"no network":                {"network: {subnetGroup: databases, securityGroups: [sg-0a1b2c3d]}", "multiAZ: true", "spec.required", "spec.regions[0].settings.network"},
		"nobody let in":             {", securityGroups: [sg-0a1b2c3d]", "", "aws.network", "spec.regions[0].settings.network"},
		"group given and made":      {"securityGroups: [sg-0a1b2c3d]", "securityGroups: [sg-0a1b2c3d], vpc: vpc-1", "aws.network", "spec.regions[0].settings.network.vpc"},
		"no subnets":                {"subnetGroup: databases, ", "", "aws.network", "spec.regions[0].settings.network"},
		"no range":                  {"securityGroups: [sg-0a1b2c3d]", "vpc: vpc-1, allow: [10.0.0.1/16]", "aws.network", "spec.regions[0].settings.network.allow[0]"},
		"an unknown size":           {"network:", "size: tiny\n        network:", "aws.settings", "spec.regions[0].settings.size"},
		"size and class":            {"network:", "size: small\n        class: db.m6g.large\n        network:", "aws.settings", "spec.regions[0].settings.class"},
		"a small disk":              {"network:", "storage: {gib: 5}\n        network:", "aws.settings", "spec.regions[0].settings.storage.gib"},
		"a disk that shrinks":       {"network:", "storage: {gib: 100, maxGib: 50}\n        network:", "aws.settings", "spec.regions[0].settings.storage.maxGib"},
		"io2 without iops":          {"network:", "storage: {gib: 100, type: io2}\n        network:", "aws.settings", "spec.regions[0].settings.storage"},
		"iops of a small gp3":       {"network:", "storage: {iops: 5000}\n        network:", "aws.settings", "spec.regions[0].settings.storage"},
		"a key's alias":             {"network:", "storage: {kmsKey: alias/db}\n        network:", "aws.settings", "spec.regions[0].settings.storage.kmsKey"},
		"a window":                  {"network:", "backup: {window: '2-3'}\n        network:", "aws.settings", "spec.regions[0].settings.backup.window"},
		"a week":                    {"network:", "maintenance: {window: 'sunday'}\n        network:", "aws.settings", "spec.regions[0].settings.maintenance.window"},
		"an unknown log":            {"network:", "logExports: [slow]\n        network:", "aws.settings", "spec.regions[0].settings.logExports[0]"},
		"a tag of ours":             {"network:", "tags: {'meridian:owner': me}\n        network:", "aws.settings", "spec.regions[0].settings.tags.meridian:owner"},
		"a short session":           {"network:", "assumeRole: {arn: 'arn:aws:iam::123456789012:role/db', sessionLength: 1m}\n        network:", "aws.settings", "spec.regions[0].settings.assumeRole.sessionLength"},
		"parameters of no group":    {"network:", "parameterGroup: shop\n        network:", "aws.parameters", "spec.regions[0].settings.parameterGroup"},
		"no parameter group":        {"network:", "parameterGroup: 'My Group'\n        network:", "aws.settings", "spec.regions[0].settings.parameterGroup"},
		"mysql":                     {`name: postgres, version: "16"`, `name: mysql, version: "8.4"`, "", ""},
		"mysql exactly":             {`name: postgres, version: "16"`, `name: mysql, version: "8.0.40"`, "", ""},
		"half a version of mysql":   {`name: postgres, version: "16"`, `name: mysql, version: "8"`, "engine.version", "spec.engine.version"},
		"no version of mysql":       {`name: postgres, version: "16"`, `name: mysql`, "engine.version", "spec.engine"},
		"an engine that RDS lacks":  {`name: postgres`, `name: cassandra`, "engine.unsupported", "spec.engine.name"},
		"aurora of mysql":           {"name: postgres, version: \"16\", parameters: {max_connections: \"200\"}}\n  regions:\n    - name: frankfurt\n      provider: aws\n      location: eu-central-1\n      role: primary\n      settings:\n", "name: mysql, version: \"8.4\"}\n  regions:\n    - name: frankfurt\n      provider: aws\n      location: eu-central-1\n      role: primary\n      settings:\n        aurora: {}\n", "aws.topology", "spec.regions[0].settings.aurora"},
		"a log of postgres":         {"name: postgres, version: \"16\", parameters: {max_connections: \"200\"}}\n  regions:\n    - name: frankfurt\n      provider: aws\n      location: eu-central-1\n      role: primary\n      settings:\n", "name: mysql, version: \"8.4\"}\n  regions:\n    - name: frankfurt\n      provider: aws\n      location: eu-central-1\n      role: primary\n      settings:\n        logExports: [error, postgresql]\n", "aws.settings", "spec.regions[0].settings.logExports[1]"},
		"mysql's own switch":        {`name: postgres, version: "16", parameters: {max_connections: "200"}`, `name: mysql, version: "8.4", parameters: {read_only: "1"}`, "parameter.managed", "spec.engine.parameters.read_only"},
		"a hyphen in a parameter":   {`name: postgres, version: "16", parameters: {max_connections: "200"}`, `name: mysql, version: "8.4", parameters: {gtid-mode: "ON"}`, "", ""},
		"a hyphen of the switch":    {`name: postgres, version: "16", parameters: {max_connections: "200"}`, `name: mysql, version: "8.4", parameters: {read-only: "1"}`, "parameter.managed", "spec.engine.parameters.read-only"},
		"a hyphen first":            {"max_connections", "-max", "parameter.invalid", "spec.engine.parameters.-max"},
		"a managed parameter":       {"max_connections", "rds.logical_replication", "parameter.managed", "spec.engine.parameters.rds.logical_replication"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodSpec, c.old, c.new, 1)
			if c.old != "" && text == goodSpec {
				t.Fatalf("%q is not in the spec", c.old)
			}
			_, ds := stacks.Check(t.Context(), []stacks.Source{{Name: "orders.yaml", Text: []byte(text)}}, "", capabilities())
			if c.rule == "" && len(ds) > 0 {
				t.Fatalf("refused: %+v", ds)
			}
			if c.rule != "" && !slices.ContainsFunc(ds, func(d stacks.Diagnostic) bool {
				return d.Rule == c.rule && d.Field == c.field && d.Line > 0 && d.Column > 0
			}) {
				t.Fatalf("want %s at %s, have %s", c.rule, c.field, fmt.Sprintf("%+v", ds))
			}
		})
	}
}

// TestExamplesAreAccepted keeps the examples for AWS whole.
func TestExamplesAreAccepted(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../examples/aws/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, ds := stacks.Check(t.Context(), []stacks.Source{{Name: path, Text: text}}, "", capabilities()); len(ds) > 0 {
			t.Errorf("%s: %+v", path, ds)
		}
	}
}
