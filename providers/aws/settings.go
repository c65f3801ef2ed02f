package aws

import (
	"cmp"
	"time"

	"meridian/stacks"
)

// Settings are what a region's spec may say under `settings`. After readSettings nothing in them is left to guess.
type Settings struct {
	// Account is the number of the AWS account; credentials of another one are refused before anything is planned.
	Account string `yaml:"account" required:"true"`
	// AssumeRole is the role that is taken for this region; without it the credentials of the environment work themselves.
	AssumeRole *AssumeRole `yaml:"assumeRole"`
	Network    Network     `yaml:"network" required:"true"`
	// Size is small, medium or large; Class is an exact instance class, like "db.m6g.large", instead.
	Size  string `yaml:"size"`
	Class string `yaml:"class"`
	// Aurora makes the region an Aurora cluster; without it, it is an RDS instance.
	Aurora  *Aurora `yaml:"aurora"`
	Storage Storage `yaml:"storage"`
	// MultiAZ keeps a standby in another zone. Default: true for a primary, false for a replica.
	MultiAZ     *bool       `yaml:"multiAZ"`
	Backup      Backup      `yaml:"backup"`
	Maintenance Maintenance `yaml:"maintenance"`
	// ParameterGroup is a DB parameter group that exists, which Meridian never changes. Default: one is made, with spec.engine.parameters.
	ParameterGroup string `yaml:"parameterGroup"`
	// PerformanceInsights keeps seven days of them, which is free. Default: true.
	PerformanceInsights *bool `yaml:"performanceInsights"`
	// LogExports are the logs that go to CloudWatch. Default: of PostgreSQL postgresql and upgrade (Aurora has only postgresql), of MySQL and MariaDB
	// error and slowquery.
	LogExports []string `yaml:"logExports"`
	// CA is the certificate authority of the server's certificate. Default: AWS's own; naming one costs a second change after each create.
	CA string `yaml:"ca"`
	// TLS says how the server is proven to be the one that answers.
	TLS TLS `yaml:"tls"`
	// FinalSnapshot takes a last snapshot when the region is destroyed. Default: true.
	FinalSnapshot *bool `yaml:"finalSnapshot"`
	// Public gives the database an address that the internet can reach. Default: false.
	Public bool `yaml:"public"`
	// Tags are added to everything that is made.
	Tags map[string]string `yaml:"tags"`
}

// AssumeRole is a role to assume.
type AssumeRole struct {
	ARN        string `yaml:"arn" required:"true"`
	ExternalID string `yaml:"externalId"`
	// SessionLength is how long its credentials hold; it has to be longer than the longest create. Default: 1h.
	SessionLength stacks.Duration `yaml:"sessionLength"`
}

// Network is where the database is reached: in a subnet group with security groups that exist, or with a security group that is made
// in a VPC that exists.
type Network struct {
	SubnetGroup    string   `yaml:"subnetGroup"`
	SecurityGroups []string `yaml:"securityGroups"`
	VPC            string   `yaml:"vpc"`
	// Allow are the address ranges (CIDR) that the made security group lets in.
	Allow []string `yaml:"allow"`
}

// Storage is the disk. Of an Aurora cluster only Type (aurora-iopt1: input and output are in the price) and KMSKey are given.
type Storage struct {
	// GiB is its size, MaxGiB the size up to which it grows by itself; equal numbers switch that off. Default: 20, and five times GiB.
	GiB    int64 `yaml:"gib"`
	MaxGiB int64 `yaml:"maxGib"`
	// Type is gp3 (the default), io1 or io2. IOPS and Throughput (MiB/s, gp3) are given where the type's own are not enough.
	Type       string `yaml:"type"`
	IOPS       int64  `yaml:"iops"`
	Throughput int64  `yaml:"throughput"`
	// KMSKey is the ARN of the key that encrypts it. Default: the account's key of RDS. A cross-region replica needs one.
	KMSKey string `yaml:"kmsKey"`
}

// Backup is what AWS keeps.
type Backup struct {
	// Retention is how many days automated backups are kept. Default: 7. A source of replicas needs one at least.
	Retention *int64 `yaml:"retention"`
	// Window is when they are taken, UTC, like "03:00-04:00". Default: 02:00-03:00.
	Window string `yaml:"window"`
}

// Maintenance is when AWS may work on the database.
type Maintenance struct {
	// Window is UTC, like "sun:04:00-sun:05:00", which is the default.
	Window string `yaml:"window"`
	// ApplyImmediately makes changes that need a restart at once and not in the window. Default: false.
	ApplyImmediately bool `yaml:"applyImmediately"`
	// MinorUpgrades lets AWS upgrade to new minor versions in the window. Default: false.
	MinorUpgrades bool `yaml:"minorUpgrades"`
}

// TLS is how Meridian's own connections check a server. Without CAFile they are encrypted, and the server is not proven.
type TLS struct {
	// CAFile is a file on the machines of Meridian's servers and workers: RDS's bundle of certificate authorities.
	CAFile string `yaml:"caFile"`
}

// classes are the instance classes of the sizes: Graviton, burstable where it is small.
var classes = map[string]string{"small": "db.t4g.medium", "medium": "db.m7g.large", "large": "db.m7g.2xlarge"}

// defaultSession is the longest that every role allows.
const defaultSession = stacks.Duration(time.Hour)

// readSettings reads a region's settings strictly and fills in what they leave out. path is the Field of the settings.
func readSettings(region stacks.Region, path string) (Settings, []stacks.Diagnostic) {
	var s Settings
	ds := stacks.DecodeSettings(region.Settings, path, &s)
	yes, primary := true, region.Role == stacks.RolePrimary
	if s.Size != "" && s.Class != "" {
		ds = append(ds, stacks.Diagnostic{Severity: stacks.SeverityError, Rule: "aws.settings", Field: path + ".class",
			Summary: "size and class are both given", Next: "keep one of them"})
	}
	if s.Aurora != nil {
		ds = append(ds, s.asAurora(primary, path)...)
	} else {
		s.asInstance(primary)
	}
	if s.Backup.Retention == nil {
		days := int64(7)
		s.Backup.Retention = &days
	}
	s.Backup.Window = cmp.Or(s.Backup.Window, "02:00-03:00")
	s.Maintenance.Window = cmp.Or(s.Maintenance.Window, "sun:04:00-sun:05:00")
	s.PerformanceInsights = cmp.Or(s.PerformanceInsights, &yes)
	s.FinalSnapshot = cmp.Or(s.FinalSnapshot, &yes)
	if s.AssumeRole != nil {
		s.AssumeRole.SessionLength = cmp.Or(s.AssumeRole.SessionLength, defaultSession)
	}
	return s, ds
}

// asInstance fills in what the settings of an RDS instance leave out.
func (s *Settings) asInstance(primary bool) {
	if s.Class == "" {
		s.Size = cmp.Or(s.Size, "small")
		s.Class = classes[s.Size]
	}
	s.Storage.GiB = cmp.Or(s.Storage.GiB, 20)
	s.Storage.MaxGiB = cmp.Or(s.Storage.MaxGiB, 5*s.Storage.GiB)
	s.Storage.Type = cmp.Or(s.Storage.Type, "gp3")
	s.MultiAZ = cmp.Or(s.MultiAZ, &primary)
}
