// Package aws is the provider whose places are regions of Amazon Web Services: RDS for PostgreSQL, MySQL and MariaDB, made by the module aws-rds,
// and Aurora PostgreSQL, made by aws-aurora-postgres, of which several regions can be one global database.
//
// It must never create, change or stop a database: terraform does. It only says what a region is made of, and looks. The one exception is
// RemoveObject: a database that no state knows is removed where a person named exactly that one.
package aws

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"

	"meridian/providers"
	"meridian/stacks"
)

// Name is the provider's word in the spec.
const Name = "aws"

// TagOwner is the tag, given in every create call, that names the stack that an object belongs to: "INSTALLATION/" and stacks.StackID.String.
const TagOwner = "meridian:owner"

// Config is what the provider needs to know.
type Config struct {
	// Installation is the Meridian's ID: part of every owner mark.
	Installation string
	// SDK are options of the AWS SDK beside those of the environment, which say where credentials and endpoints come from; they are for tests.
	SDK []func(*config.LoadOptions) error
	// Reach says how a database that was made is reached, where that is not its own endpoint: an emulator's endpoints lead nowhere.
	Reach func(providers.ModuleInput, stacks.Endpoint) (stacks.Endpoint, error)
}

// Provider is the provider aws.
type Provider struct {
	cfg      Config
	sessions *sessions
}

var (
	_ providers.Provider       = (*Provider)(nil)
	_ providers.Validator      = (*Provider)(nil)
	_ providers.LaunchMemory   = (*Provider)(nil)
	_ providers.ModuleCaller   = (*Provider)(nil)
	_ providers.SecretNames    = (*Provider)(nil)
	_ providers.EndpointReader = (*Provider)(nil)
	_ providers.ReplicaMaker   = (*Provider)(nil)

	_ providers.PasswordRotator = (*Provider)(nil)

	_ providers.ProtectionLifter = (*Provider)(nil)
)

// New returns the provider.
func New(cfg Config) *Provider { return &Provider{cfg: cfg, sessions: newSessions(cfg.SDK)} }

// Name is "aws".
func (*Provider) Name() string { return Name }

// LaunchMemory is what terraform with the provider hashicorp/aws was seen to use with GOGC=400: 865 MB, and some room.
func (*Provider) LaunchMemory(string) int { return 900 }

// MakesReplicas is true for every engine of RDS that this provider runs: a cross-region read replica.
func (*Provider) MakesReplicas(engine string) bool {
	_, runs := engines[engine]
	return runs
}

// RotatesPassword is true for every engine of RDS that this provider runs.
func (p *Provider) RotatesPassword(engine string) bool { return p.MakesReplicas(engine) }

// owner is the mark by which an object is known as this stack's, whichever Meridian else is in the account.
func (p *Provider) owner(id stacks.StackID) string { return p.cfg.Installation + "/" + id.String() }

// identifier is the name of a stack's database instance, and the first part of all its other names. It is unique in the account's region,
// and never used again, because an incarnation is not.
func identifier(id stacks.StackID) string {
	return strings.Join([]string{id.Namespace, id.Name, id.Incarnation, id.Region}, "-")
}

// instanceARN is the ARN of a stack's database instance, known before it is made.
func instanceARN(location, account string, id stacks.StackID) string {
	return fmt.Sprintf("arn:%s:rds:%s:%s:db:%s", partition(location), location, account, identifier(id))
}

// partition is the part of AWS that a region lies in.
func partition(location string) string {
	switch {
	case strings.HasPrefix(location, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(location, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
