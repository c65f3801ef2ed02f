package aws

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"meridian/stacks"
)

var (
	locationShape       = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
	accountShape        = regexp.MustCompile(`^[0-9]{12}$`)
	roleShape           = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$`)
	classShape          = regexp.MustCompile(`^db\.[a-z0-9]+\.[a-z0-9]+$`)
	keyShape            = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$`)
	vpcShape            = regexp.MustCompile(`^vpc-[0-9a-f]+$`)
	groupShape          = regexp.MustCompile(`^sg-[0-9a-f]+$`)
	parameterGroupShape = regexp.MustCompile(`^(default\.)?[a-z][a-z0-9-]*[a-z0-9.]*$`)
	subnetGroupShape    = regexp.MustCompile(`^[a-z0-9][a-z0-9._ -]*$`)
	windowShape         = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$`)
	weekShape           = regexp.MustCompile(`^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$`)
	tagShape            = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+@-]{1,128}$`)
)

// ValidateRegion checks location, settings and parameters. It asks no cloud: what only the account can tell, the plan tells.
func (p *Provider) ValidateRegion(_ context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic {
	c := checker{at: regionField(db, region.Name)}
	if !locationShape.MatchString(region.Location) {
		c.refuse("location.unknown", c.at+".location", "write an AWS region, like eu-central-1", "provider aws has no location %q", region.Location)
	}
	e, runs := c.engine(db)
	s, ds := settingsIn(db, region, c.at+".settings")
	c.ds = append(c.ds, ds...)
	if runs && s.Aurora != nil && !e.aurora {
		c.refuse("aws.topology", c.at+".settings.aurora", "leave it out: the region is an RDS instance then, and replicas of it are made by links of mode physical",
			"this Meridian makes no Aurora clusters of %s", db.Spec.Engine.Name)
		return c.ds
	}
	if runs && !stacks.HasErrors(ds) { // what could not be read cannot be judged
		c.settings(e, s)
		c.windows(s.Backup.Window, s.Maintenance.Window)
		c.insights(db, s)
		c.key(region, s.Storage.KMSKey)
		c.network(s.Network)
		if s.Aurora != nil {
			c.aurora(db, region, s)
		} else {
			c.storage(s.Storage)
		}
		c.topology(db, region, s)
	}
	c.parameters(e, db.Spec.Engine.Parameters)
	if s.ParameterGroup != "" {
		c.parameterGroup(s.ParameterGroup, db, region)
	}
	return c.ds
}

// checker collects what is wrong with one region.
type checker struct {
	at string
	ds []stacks.Diagnostic
}

func (c *checker) refuse(rule, field, next, format string, args ...any) {
	c.ds = append(c.ds, stacks.Diagnostic{Severity: stacks.SeverityError, Rule: rule, Field: field, Next: next, Summary: fmt.Sprintf(format, args...)})
}

// shape refuses a setting that does not look as it has to.
func (c *checker) shape(field, value, next string, like *regexp.Regexp) {
	if !like.MatchString(value) {
		c.refuse("aws.settings", c.at+".settings."+field, next, "%q cannot be used as %s", value, field)
	}
}

func (c *checker) oneOf(field, value string, words ...string) {
	if !slices.Contains(words, value) {
		c.refuse("aws.settings", c.at+".settings."+field, "it is one of "+strings.Join(words, ", "), "%q cannot be used as %s", value, field)
	}
}

// within refuses a number outside its bounds.
func (c *checker) within(field string, n, least, most int64) {
	if n < least || n > most {
		c.refuse("aws.settings", c.at+".settings."+field, fmt.Sprintf("write a number from %d to %d", least, most), "%d cannot be used as %s", n, field)
	}
}

func (c *checker) settings(e engine, s Settings) {
	c.shape("account", s.Account, `write the account's twelve digits in quotes, like "123456789012"`, accountShape)
	if r := s.AssumeRole; r != nil {
		c.shape("assumeRole.arn", r.ARN, "write the role's ARN", roleShape)
		if d := time.Duration(r.SessionLength); d < 15*time.Minute || d > 12*time.Hour {
			c.refuse("aws.settings", c.at+".settings.assumeRole.sessionLength", "write a time from 15m to 12h, longer than a create takes", "a session of %s is not possible", r.SessionLength)
		}
	}
	if s.Size != "" {
		c.oneOf("size", s.Size, slices.Sorted(maps.Keys(classes))...)
	}
	if s.Class != "" && s.Class != serverlessClass { // an Aurora cluster's own
		c.shape("class", s.Class, "write an instance class, like db.m7g.large", classShape)
	}
	least := int64(0)
	if s.Aurora != nil {
		least = 1 // a cluster always has backups
	}
	c.within("backup.retention", *s.Backup.Retention, least, 35)
	c.shape("backup.window", s.Backup.Window, "write a time of day in UTC, like 02:00-03:00", windowShape)
	c.shape("maintenance.window", s.Maintenance.Window, "write a time of the week in UTC, like sun:04:00-sun:05:00", weekShape)
	logs := e.logs
	if s.Aurora != nil {
		logs = logs[:1]
	}
	for i, log := range s.LogExports {
		c.oneOf(fmt.Sprintf("logExports[%d]", i), log, logs...)
	}
	if s.TLS.CAFile != "" && !filepath.IsAbs(s.TLS.CAFile) {
		c.refuse("aws.settings", c.at+".settings.tls.caFile", "write a path that starts with /: the file lies on the machines of Meridian's servers and workers", "%q cannot be used as tls.caFile", s.TLS.CAFile)
	}
	for _, tag := range slices.Sorted(maps.Keys(s.Tags)) {
		if strings.HasPrefix(tag, "aws:") || strings.HasPrefix(tag, "meridian:") || !tagShape.MatchString(tag) || len(s.Tags[tag]) > 256 {
			c.refuse("aws.settings", c.at+".settings.tags."+tag, "use another name: aws: and meridian: are taken", "tag %q cannot be used", tag)
		}
	}
}

func (c *checker) network(n Network) {
	at := c.at + ".settings.network"
	switch {
	case n.VPC != "" && len(n.SecurityGroups) > 0:
		c.refuse("aws.network", at+".vpc", "leave out vpc and allow, or securityGroups", "a security group is both given and to be made")
	case n.VPC == "" && len(n.SecurityGroups) == 0:
		c.refuse("aws.network", at, "give securityGroups, or a vpc in which one is made", "nothing says who may reach the database")
	case n.VPC == "" && len(n.Allow) > 0:
		c.refuse("aws.network", at+".allow", "give a vpc, or let the given security groups say it", "there is no security group of ours that could allow anything")
	}
	if n.SubnetGroup == "" {
		c.refuse("aws.network", at, "give the name of the subnetGroup in which the database gets its addresses", "network names no subnet group")
	} else {
		c.shape("network.subnetGroup", n.SubnetGroup, "write the name of a DB subnet group", subnetGroupShape)
	}
	if n.VPC != "" {
		c.shape("network.vpc", n.VPC, "write the VPC's ID, like vpc-0a1b2c3d", vpcShape)
	}
	for i, g := range n.SecurityGroups {
		c.shape(fmt.Sprintf("network.securityGroups[%d]", i), g, "write a security group's ID, like sg-0a1b2c3d", groupShape)
	}
	for i, cidr := range n.Allow {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix != prefix.Masked() || !prefix.Addr().Is4() {
			c.refuse("aws.network", fmt.Sprintf("%s.allow[%d]", at, i), "write a range of IPv4 addresses, like 10.0.0.0/16", "%q is no such range", cidr)
		}
	}
}

func (c *checker) storage(s Storage) {
	c.within("storage.gib", s.GiB, 20, 65536)
	c.within("storage.maxGib", s.MaxGiB, s.GiB, max(65536, s.GiB))
	if s.MaxGiB > s.GiB && s.MaxGiB*10 < s.GiB*11 {
		c.refuse("aws.settings", c.at+".settings.storage.maxGib", fmt.Sprintf("write %d or more, or %d to keep it from growing", (s.GiB*11+9)/10, s.GiB), "storage of %d GiB that may grow to %d: AWS wants a tenth more at least", s.GiB, s.MaxGiB)
	}
	c.oneOf("storage.type", s.Type, "gp3", "io1", "io2")
	if s.KMSKey != "" {
		c.shape("storage.kmsKey", s.KMSKey, "write the key's ARN", keyShape)
	}
	if s.Type != "gp3" && s.IOPS == 0 {
		c.refuse("aws.settings", c.at+".settings.storage", "say storage.iops", "storage of type %s needs iops", s.Type)
	}
	if s.Type == "gp3" && s.GiB < 400 && (s.IOPS > 0 || s.Throughput > 0) {
		c.refuse("aws.settings", c.at+".settings.storage", "use 400 GiB or more, or leave out iops and throughput", "gp3 below 400 GiB has its own iops and throughput")
	}
}

// key refuses a key of another AWS region. What does not look like a key, or a region, is refused elsewhere.
func (c *checker) key(region stacks.Region, arn string) {
	if !keyShape.MatchString(arn) || !locationShape.MatchString(region.Location) {
		return
	}
	if of := strings.Split(arn, ":")[3]; of != region.Location {
		c.refuse("aws.settings", c.at+".settings.storage.kmsKey", "use a key of "+region.Location, "the key is of %s, and the region is in %s", of, region.Location)
	}
}

// small are the classes of MySQL and MariaDB that have no Performance Insights.
// Source: Amazon RDS User Guide, "Amazon RDS DB engine, Region, and instance class support for Performance Insights".
var small = regexp.MustCompile(`^db\.(t2|t3|t4g)\.(micro|small)$`)

// insights refuses Performance Insights where they are not to be had.
func (c *checker) insights(db stacks.Database, s Settings) {
	if name := db.Spec.Engine.Name; *s.PerformanceInsights && name != EnginePostgres && small.MatchString(s.Class) {
		c.refuse("aws.settings", c.at+".settings.class", "write performanceInsights: false, or use db.t4g.medium or larger", "%s of class %s has no Performance Insights", name, s.Class)
	}
}

func (c *checker) parameters(e engine, parameters map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if slices.Contains(e.managed, strings.ReplaceAll(strings.ToLower(name), "-", "_")) {
			c.refuse("parameter.managed", "spec.engine.parameters."+name, "leave it out", "parameter %q is decided by AWS or by Meridian", name)
		}
	}
}

// parameterGroup refuses a given group that does not look like one, and what a group that Meridian does not change cannot be made to say.
func (c *checker) parameterGroup(name string, db stacks.Database, region stacks.Region) {
	at := c.at + ".settings.parameterGroup"
	c.shape("parameterGroup", name, "write the name of a DB parameter group of the engine's family", parameterGroupShape)
	if len(db.Spec.Engine.Parameters) > 0 {
		c.refuse("aws.parameters", at, "leave out spec.engine.parameters, or parameterGroup: one is made then", "a parameter group is given, and parameters beside it")
	}
	if _, follows := db.PhysicalSource(region.Name); follows {
		c.refuse("aws.parameters", at, "leave it out: a replica's is made", "a replica's parameter group cannot be given")
	}
}

// regionField returns the field path of a region.
func regionField(db stacks.Database, name string) string {
	for i, r := range db.Spec.Regions {
		if r.Name == name {
			return fmt.Sprintf("spec.regions[%d]", i)
		}
	}
	return "spec.regions"
}
