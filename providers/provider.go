// Package providers holds what Meridian asks of a cloud and of a database technology: small capabilities, one method each.
// A provider or engine implements those that it has; callers ask with As.
//
// It must never know a concrete provider: cmd registers them. Errors that a caller may retry are said so by errors.go.
package providers

import (
	"context"
	"time"

	"meridian/stacks"
)

// Provider is a cloud adapter. Everything else is a capability.
type Provider interface {
	// Name is the word in the spec, like "local".
	Name() string
}

// EngineVersions tells which versions of an engine a provider can run here, newest first, exact ("15.18").
type EngineVersions interface {
	EngineVersions(ctx context.Context, engine string) ([]string, error)
}

// Validator checks a region of a spec before anything is touched: versions, parameters, location. Diagnostics carry Field paths from the spec's root.
type Validator interface {
	ValidateRegion(ctx context.Context, db stacks.Database, region stacks.Region) []stacks.Diagnostic
}

// PlaceInput is what a placement is made from.
type PlaceInput struct {
	Stack stacks.StackID
	// Engine is the engine that shall run there.
	Engine string
	// Taken lists the addresses ("host:port") that other regions have.
	Taken []string
}

// Placer gives a region its place for life. It must not return an address on which something answers or listens.
type Placer interface {
	Place(ctx context.Context, in PlaceInput) (stacks.Placement, error)
}

// ModuleInput is what a region's module call is made from.
type ModuleInput struct {
	Stack     stacks.StackID
	Database  stacks.Database // effective
	Region    stacks.Region
	Placement stacks.Placement
	// Source is the place of the region that this one's database is made from, known before either is applied; empty where there is none.
	Source stacks.Placement
	// Package is what a ModuleSourcer's source led to; nil before that.
	Package *stacks.Package
	// Values are what InputRefs asked for, by the String of the reference.
	Values map[string]any
}

// ModuleCaller says which module a region is made of. It is pure.
type ModuleCaller interface {
	ModuleCall(in ModuleInput) (stacks.ModuleCall, error)
}

// ReplicaMaker makes a region as a physical replica of another region of the same provider: a link of mode physical. Its module call names
// the source by what is known before the source is made, and is planned with it.
type ReplicaMaker interface {
	MakesReplicas(engine string) bool
}

// GlobalMaker makes one database of the regions of a spec, which the cloud itself replicates: topology global. Each region has its stack
// still, and ModuleCall says what it carries: the primary's at least what is common, another region's its own part, or only what reads from
// it (where one resource of the cloud is the whole). The other regions' stacks are planned with the primary's, made after it and removed before it.
type GlobalMaker interface {
	// GlobalMode is the mode of the links that stand for that replication, from the primary to each other region; "" where the engine's
	// regions cannot be made one. The engine proves these links as those of that mode.
	GlobalMode(engine string) stacks.LinkMode
}

// LaunchMemory says how much memory one launch of terraform uses with this provider for an engine, in MiB: plugins, and what they start on this
// machine. So much of what the machine has is set aside for it. A provider that does not say is a light one.
type LaunchMemory interface {
	LaunchMemory(engine string) int
}

// PasswordRotator is a provider that gives a region's administrator a new password in place, where the spec counts it up: the secret of each
// version has a name of its own (stacks.Database.AdminSecret), and the module call a number that says which one it takes.
type PasswordRotator interface {
	RotatesPassword(engine string) bool
}

// SecretNames lists the catalog's names of the secrets that a region needs to exist before it is planned. It is pure.
type SecretNames interface {
	SecretNames(in ModuleInput) []string
}

// EndpointInput is what an endpoint is read from.
type EndpointInput struct {
	ModuleInput
	Outputs map[string]any // terraform's outputs, from the state
}

// EndpointReader says where a region answers, from its outputs; the empty Endpoint is nowhere, as what is no database may. It is pure.
type EndpointReader interface {
	Endpoint(in EndpointInput) (stacks.Endpoint, error)
}

// ReadyState is one gate's answer.
type ReadyState string

// The answers of a gate. Unknown words of a cloud are pending, and named in the message.
const (
	StatePending ReadyState = "pending"
	StateReady   ReadyState = "ready"
	StateFailed  ReadyState = "failed"
)

// ReadyStatus is what one look found.
type ReadyStatus struct {
	State   ReadyState
	Raw     string // the cloud's own word
	Message string
	Percent int // 0 where the cloud does not say
}

// ControlPlane is the first gate of readiness: what the cloud's API says.
type ControlPlane interface {
	ControlPlane(ctx context.Context, in ModuleInput) (ReadyStatus, error)
}

// LagMeter says what the cloud itself measured last of the replication into a region; measured is false where there is nothing of now. It is an
// addition to what a link's own row shows: an error disturbs nothing.
type LagMeter interface {
	ReplicationLag(ctx context.Context, in ModuleInput) (lag time.Duration, measured bool, err error)
}

// Engine is a database technology. Everything else is a capability.
type Engine interface {
	// Name is the word in the spec, like "postgres".
	Name() string
}

// Target is one region's database as an engine reaches it. Secret values live only here, in memory.
type Target struct {
	Region   string
	Endpoint stacks.Endpoint
	Password string
	// Follows says that it is a physical replica: it takes no writes, and what is in it is its source's.
	Follows bool
}

// Prober is the third gate of readiness: a query answers. (The second, TCP, is the caller's.)
type Prober interface {
	Probe(ctx context.Context, t Target) error
}

// LinkModes lists the modes of the links that an engine makes itself, whoever runs it.
type LinkModes interface {
	LinkModes() []stacks.LinkMode
}

// Objects are the databases and users that a region must have. Passwords maps a user's name to its password.
type Objects struct {
	RunNumber int64
	Databases []stacks.LogicalDatabase
	Users     []stacks.User
	Passwords map[string]string
}

// ObjectsReport says what EnsureObjects found beside the spec.
type ObjectsReport struct {
	Unmanaged []string // "database old", "user bob": there, not in the spec, kept
	Changed   []string
}

// ObjectEnsurer makes databases, users and grants as the spec says, idempotently.
type ObjectEnsurer interface {
	EnsureObjects(ctx context.Context, t Target, o Objects) (ObjectsReport, error)
}

// LinkInput is one link between two regions. A step of a smaller RunNumber than the one on the target is refused with ErrSuperseded.
type LinkInput struct {
	Stack     stacks.StackID // of the target; its Incarnation is part of every name that the link makes
	RunNumber int64
	Link      stacks.Link
	From, To  Target
	// Password of the replication role on the source.
	Password string
	// Rebuild fills the target's part of a database from the source, and returns once it is full; RebuildSource the source's part from the
	// target, where a database spanned it no more. nil where the region's provider cannot.
	Rebuild, RebuildSource Rebuild
	Objects                Objects
	MaxLag                 time.Duration
}

// LinkStatus is what one look at a link found.
type LinkStatus struct {
	State   ReadyState
	Message string // "copying orders: 3 of 5 tables"
	// Lag is from the commit of a row on the source to its arrival on the target, as measured by this look. Valid when State is ready.
	Lag time.Duration
	// Late says that all that is missing is time: rows arrive, later than MaxLag.
	Late bool
	// Moving says that all that is missing is a first copy, which got on while it was looked at.
	Moving bool
}

// Linker makes, proves and removes links. Each is idempotent; a message never holds a password.
type Linker interface {
	// EnsureLink checks first (log level, keys, versions, free slots), copies the schema, makes publication and subscription.
	EnsureLink(ctx context.Context, in LinkInput) error
	// CheckLink takes one look; it is ready when the initial copy is done and a row written at the source was read at the target.
	CheckLink(ctx context.Context, in LinkInput) (LinkStatus, error)
	// RemoveLink leaves no slot, publication or subscription, also when one side is dead; what it cannot reach it reports as ErrLeftBehind, naming the side.
	RemoveLink(ctx context.Context, in LinkInput) error
}

// DatabaseValidator checks what only the engine knows of a spec's databases, users and links, before anything is touched. Diagnostics carry
// Field paths from the spec's root.
type DatabaseValidator interface {
	ValidateDatabase(ctx context.Context, db stacks.Database) []stacks.Diagnostic
}

// MaintenanceDatabase names the database that every server of an engine has, for who connects without naming one. It is pure.
type MaintenanceDatabase interface {
	MaintenanceDatabase() string
}

// MajorVersions says how many parts of a version are the major one, which cannot change in place: two of MySQL's "8.4.3". It is pure.
type MajorVersions interface {
	MajorParts() int
}

// ReservedNames are the names of databases and users that belong to an engine. Meridian's own are reserved besides. It is pure.
type ReservedNames interface {
	ReservedNames() stacks.Reserved
}

// JoinInput is a region whose database is made from another's.
type JoinInput struct {
	Stack     stacks.StackID // of the region that joins
	RunNumber int64
	From, To  Target
	Rebuild   Rebuild
}

// Joiner takes a region whose gates answer into the cluster of the region that it is made from, so far that it can be logged in to: users and
// their rights are known there. The rest is the link's. It is idempotent; not done yet is an error that is not permanent.
type Joiner interface {
	JoinRegion(ctx context.Context, in JoinInput) error
}

// Fill is one region's part of a database that is to be filled from another region, as the engine names both.
type Fill struct {
	Database, From string
	// Again says that it was full once, and lacks what was written while the database did not span the region.
	Again bool
}

// Rebuild fills a region's part of one database, and returns once it is full. It may be repeated.
type Rebuild func(ctx context.Context, fill Fill) error

// Rebuilder is a provider that fills a region when a database comes to span it. Regions of one that does not cannot join as data centres.
type Rebuilder interface {
	Rebuild(ctx context.Context, in ModuleInput, fill Fill) error
}

// ConnectionStrings prints how a person or program connects, for one logical database and user; password is put in where not empty.
type ConnectionStrings interface {
	ConnectionString(e stacks.Endpoint, database, user, password string) string
}
