package aws_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"meridian/stacks"
)

// replicaSpec is a database whose second region follows its first.
const replicaSpec = `apiVersion: meridian/v1
kind: Database
metadata: {name: orders}
spec:
  engine: {name: postgres, version: "16"}
  regions:
    - name: frankfurt
      provider: aws
      location: eu-central-1
      role: primary
      settings:
        account: "123456789012"
        network: {subnetGroup: databases, securityGroups: [sg-0a1b2c3d]}
    - name: virginia
      provider: aws
      location: us-east-1
      role: replica
      settings:
        account: "123456789012"
        storage: {kmsKey: "arn:aws:kms:us-east-1:123456789012:key/x"}
        network: {subnetGroup: databases, securityGroups: [sg-4e5f6a7b]}
  replication: {links: [{from: frankfurt, to: virginia, mode: physical}]}
`

// another is one more region, whose link is added to the spec's.
func another(name, location, from string) func(string) string {
	return func(spec string) string {
		region := fmt.Sprintf(`    - name: %s
      provider: aws
      location: %s
      role: replica
      settings:
        account: "123456789012"
        storage: {kmsKey: "arn:aws:kms:%s:123456789012:key/x"}
        network: {subnetGroup: databases, securityGroups: [sg-4e5f6a7b]}
`, name, location, location)
		if strings.Contains(spec, "- name: "+from+"\n      provider: aws\n      location: "+location+"\n") { // no key of its own in its source's AWS region
			region = strings.Replace(region, fmt.Sprintf("        storage: {kmsKey: \"arn:aws:kms:%s:123456789012:key/x\"}\n", location), "", 1)
		}
		spec = strings.Replace(spec, "  replication:", region+"  replication:", 1)
		return strings.Replace(spec, "mode: physical}]}", fmt.Sprintf("mode: physical}, {from: %s, to: %s, mode: physical}]}", from, name), 1)
	}
}

func replaced(pairs ...string) func(string) string {
	return strings.NewReplacer(pairs...).Replace
}

// TestReplicasThatAWSRefuses holds that what AWS documents as refused of read replicas is refused when it is submitted, with its line.
func TestReplicasThatAWSRefuses(t *testing.T) {
	t.Parallel()
	const key = "        storage: {kmsKey: \"arn:aws:kms:us-east-1:123456789012:key/x\"}\n"
	first := func(line string) func(string) string {
		return func(spec string) string {
			return strings.Replace(spec, "        network:", "        "+line+"\n        network:", 1)
		}
	}
	many := func(n int) func(string) string {
		return func(spec string) string {
			for i := range n {
				spec = another(fmt.Sprintf("r%d", i), "us-east-1", "frankfurt")(spec)
			}
			return spec
		}
	}
	for name, c := range map[string]struct {
		change      []func(string) string
		rule, field string
	}{
		"good":                            {nil, "", ""},
		"a source without backups":        {[]func(string) string{first("backup: {retention: 0}")}, "aws.replica", "spec.regions[0].settings.backup.retention"},
		"a source with one":               {[]func(string) string{first("backup: {retention: 1}")}, "", ""},
		"no source, no backups":           {[]func(string) string{first("backup: {retention: 0}"), replaced("mode: physical", "mode: logical, databases: [orders]", "  regions:", "  databases: [{name: orders}]\n  regions:")}, "", ""},
		"another account":                 {[]func(string) string{replaced("us-east-1\n      role: replica\n      settings:\n        account: \"123456789012\"", "us-east-1\n      role: replica\n      settings:\n        account: \"210987654321\"")}, "aws.replica", "spec.regions[1].settings.account"},
		"no key of there":                 {[]func(string) string{replaced(key, "")}, "aws.replica", "spec.regions[1].settings"},
		"a key of elsewhere":              {[]func(string) string{replaced("arn:aws:kms:us-east-1", "arn:aws:kms:eu-west-1")}, "aws.settings", "spec.regions[1].settings.storage.kmsKey"},
		"a key beside its source":         {[]func(string) string{replaced("location: us-east-1", "location: eu-central-1", "arn:aws:kms:us-east-1", "arn:aws:kms:eu-central-1")}, "aws.replica", "spec.regions[1].settings.storage.kmsKey"},
		"no key beside its source":        {[]func(string) string{replaced("location: us-east-1", "location: eu-central-1", key, "")}, "", ""},
		"another partition":               {[]func(string) string{replaced("location: us-east-1", "location: us-gov-west-1", "arn:aws:kms:us-east-1", "arn:aws-us-gov:kms:us-gov-west-1")}, "aws.replica", "spec.regions[1].location"},
		"storage of its own":              {[]func(string) string{replaced("storage: {kmsKey", "storage: {gib: 50, kmsKey")}, "aws.replica", "spec.regions[1].settings.storage.gib"},
		"its source's storage":            {[]func(string) string{first("storage: {gib: 500, iops: 13000}"), replaced("storage: {kmsKey", "storage: {iops: 13000, kmsKey")}, "", ""},
		"its source's storage, said":      {[]func(string) string{first("storage: {gib: 500}"), replaced("storage: {kmsKey", "storage: {gib: 500, kmsKey")}, "", ""},
		"growing less than its source is": {[]func(string) string{first("storage: {gib: 500}"), replaced("storage: {kmsKey", "storage: {maxGib: 100, kmsKey")}, "aws.settings", "spec.regions[1].settings.storage.maxGib"},
		"fifteen replicas":                {[]func(string) string{many(14)}, "", ""},
		"one more":                        {[]func(string) string{many(15)}, "aws.replica", "spec.regions[16]"},
		"a replica of a replica":          {[]func(string) string{another("ohio", "us-east-1", "virginia")}, "", ""},
		"of an old PostgreSQL":            {[]func(string) string{another("ohio", "us-east-1", "virginia"), replaced(`version: "16"`, `version: "13"`)}, "aws.replica", "spec.regions[2]"},
		"in a third AWS region":           {[]func(string) string{another("ohio", "us-east-2", "virginia")}, "aws.replica", "spec.regions[2].location"},
		"in a third, of MySQL":            {[]func(string) string{another("ohio", "us-east-2", "virginia"), replaced(`name: postgres, version: "16"`, `name: mysql, version: "8.4"`)}, "", ""},
		"a third level":                   {[]func(string) string{another("ohio", "us-east-1", "virginia"), another("iowa", "us-east-1", "ohio")}, "", ""},
		"a fourth level":                  {[]func(string) string{another("ohio", "us-east-1", "virginia"), another("iowa", "us-east-1", "ohio"), another("utah", "us-east-1", "iowa")}, "aws.replica", "spec.regions[4]"},
	} {
		t.Run(name, func(t *testing.T) {
			text := replicaSpec
			for _, change := range c.change {
				before := text
				if text = change(text); text == before {
					t.Fatal("a change changes nothing")
				}
			}
			wantChecked(t, text, c.rule, c.field)
		})
	}
}

// TestWindowsAndClasses holds the same of what AWS refuses of any instance.
func TestWindowsAndClasses(t *testing.T) {
	t.Parallel()
	const maintenance, class, most = "spec.regions[0].settings.maintenance.window", "spec.regions[0].settings.class", "spec.regions[0].settings.storage.maxGib"
	for name, c := range map[string]struct{ line, engine, rule, field string }{
		"apart":                           {"backup: {window: '02:00-03:00'}\n        maintenance: {window: 'mon:03:00-mon:04:00'}", "", "", ""},
		"overlapping":                     {"backup: {window: '02:00-03:00'}\n        maintenance: {window: 'mon:02:59-mon:04:00'}", "", "aws.settings", maintenance},
		"one within the other":            {"backup: {window: '02:00-06:00'}\n        maintenance: {window: 'wed:03:00-wed:04:00'}", "", "aws.settings", maintenance},
		"over midnight":                   {"backup: {window: '23:30-00:30'}\n        maintenance: {window: 'tue:00:00-tue:01:00'}", "", "aws.settings", maintenance},
		"over the end of the week":        {"backup: {window: '00:30-01:30'}\n        maintenance: {window: 'sun:23:30-mon:01:00'}", "", "aws.settings", maintenance},
		"over the end of the week, apart": {"backup: {window: '01:00-02:00'}\n        maintenance: {window: 'sun:23:30-mon:01:00'}", "", "", ""},
		"with the default of the other":   {"backup: {window: '04:30-05:30'}", "", "aws.settings", maintenance},
		"too short":                       {"backup: {window: '02:00-02:29'}", "", "aws.settings", "spec.regions[0].settings.backup.window"},
		"maintenance too short":           {"maintenance: {window: 'mon:05:00-mon:05:10'}", "", "aws.settings", maintenance},
		"a tenth more":                    {"storage: {gib: 100, maxGib: 110}", "", "", ""},
		"less than a tenth more":          {"storage: {gib: 100, maxGib: 109}", "", "aws.settings", most},
		"never more":                      {"storage: {gib: 100, maxGib: 100}", "", "", ""},
		"insights of a small MySQL":       {"class: db.t4g.small", `name: mysql, version: "8.4"`, "aws.settings", class},
		"insights of a micro MariaDB":     {"class: db.t3.micro", `name: mariadb, version: "11.4"`, "aws.settings", class},
		"insights of a small PostgreSQL":  {"class: db.t4g.small", "", "", ""},
		"a small MySQL without insights":  {"class: db.t4g.small\n        performanceInsights: false", `name: mysql, version: "8.4"`, "", ""},
		"insights of a medium MySQL":      {"class: db.t4g.medium", `name: mysql, version: "8.4"`, "", ""},
		"a key of another AWS region":     {"storage: {kmsKey: 'arn:aws:kms:us-east-1:123456789012:key/x'}", "", "aws.settings", "spec.regions[0].settings.storage.kmsKey"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodSpec, "        network:", "        "+c.line+"\n        network:", 1)
			if c.engine != "" {
				text = strings.Replace(text, `name: postgres, version: "16"`, c.engine, 1)
			}
			wantChecked(t, text, c.rule, c.field)
		})
	}
}

// wantChecked wants a spec to be refused by exactly one rule at one place that has a line, or to be accepted where there is no rule.
func wantChecked(t *testing.T, text, rule, field string) {
	t.Helper()
	_, ds := stacks.Check(t.Context(), []stacks.Source{{Name: "orders.yaml", Text: []byte(text)}}, "", capabilities())
	switch {
	case rule == "" && len(ds) > 0:
		t.Errorf("refused: %+v", ds)
	case rule != "" && (len(ds) != 1 || !slices.ContainsFunc(ds, func(d stacks.Diagnostic) bool {
		return d.Rule == rule && d.Field == field && d.Line > 0 && d.Column > 0 && d.Next != ""
	})):
		t.Errorf("want %s at %s alone, have %+v", rule, field, ds)
	}
}
