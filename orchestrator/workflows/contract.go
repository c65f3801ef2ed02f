package workflows

import (
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"meridian/stacks"
)

// The names of the workflows, as they stand in histories. A shipped name never changes.
const (
	NameDatabase        = "Database"
	NameApplyRun        = "ApplyRun"
	NameDestroyRun      = "DestroyRun"
	NameCheckRun        = "CheckRun"
	NameProvisionRegion = "ProvisionRegion"
	NameDriftCheck      = "DriftCheck"
)

// SignalWake tells a database's funnel that its rows may have moved. It carries nothing.
const SignalWake = "wake"

// The search attributes (Keyword) that every execution starts with.
var (
	AttrNamespace = temporal.NewSearchAttributeKeyKeyword("MeridianNamespace")
	AttrDatabase  = temporal.NewSearchAttributeKeyKeyword("MeridianDatabase")
	AttrRegion    = temporal.NewSearchAttributeKeyKeyword("MeridianRegion")
	AttrRun       = temporal.NewSearchAttributeKeyKeyword("MeridianRun")
	AttrKind      = temporal.NewSearchAttributeKeyKeyword("MeridianKind")
	// AttrStatus is the run's phase when its workflow ended.
	AttrStatus = temporal.NewSearchAttributeKeyKeyword("MeridianStatus")
)

// DatabaseInput starts the funnel of one database.
type DatabaseInput struct {
	Contract     int
	Installation string
	Namespace    string
	Name         string
}

// RunInput starts the workflow of one run.
type RunInput struct {
	Contract     int
	Installation string
	Namespace    string
	Name         string
	Run          string
}

// RegionInput starts the provisioning of one region of a run.
type RegionInput struct {
	RunInput
	Region   string
	Location string
	Destroy  bool
	Changed  bool
}

// DriftInput starts a check for drift. Check is "" where a schedule asks: the check gets its row, and its ID, from the execution.
type DriftInput struct {
	Contract     int
	Installation string
	Incarnation  string
	Check        string
	Reason       string
}

// DriftID is the workflow ID of a check that somebody asked for.
func DriftID(installation, check string) string { return "drift/" + installation + "/check/" + check }

// Ours reports whether a workflow ID is of this installation.
func Ours(installation, id string) bool {
	kind, rest, _ := strings.Cut(id, "/")
	return (kind == "database" || kind == "run" || kind == "drift") && strings.HasPrefix(rest, installation+"/")
}

// ScheduleID is the ID of a database's schedule, and begins the IDs of the workflows that it starts. It names the incarnation: a database that
// is made anew has another schedule.
func ScheduleID(installation, incarnation string) string {
	return SchedulePrefix(installation) + incarnation
}

// SchedulePrefix begins the IDs of an installation's schedules.
func SchedulePrefix(installation string) string { return "drift/" + installation + "/schedule/" }

// DatabaseID is the funnel's workflow ID.
func DatabaseID(installation, namespace, name string) string {
	return "database/" + installation + "/" + namespace + "/" + name
}

// RunID is a run's workflow ID.
func RunID(installation, run string) string { return "run/" + installation + "/" + run }

// RegionID is the workflow ID of one region of a run.
func RegionID(installation, run, region string) string {
	return RunID(installation, run) + "/" + region
}

// Queue is the task queue of workflows and light steps.
func Queue(installation string) string { return "meridian/" + installation }

// TerraformQueue is the task queue of terraform's steps in a location.
func TerraformQueue(installation, location string) string {
	return "terraform/" + installation + "/" + location
}

// Workflows are the workflows of one worker. Timing is no part of an input: it only sets timeouts, which a replay does not look at.
type Workflows struct{ Timing stacks.Timing }

// Register registers all workflows on w.
func (s Workflows) Register(w worker.WorkflowRegistry) {
	w.RegisterWorkflowWithOptions(s.Database, workflow.RegisterOptions{Name: NameDatabase})
	w.RegisterWorkflowWithOptions(s.ApplyRun, workflow.RegisterOptions{Name: NameApplyRun})
	w.RegisterWorkflowWithOptions(s.DestroyRun, workflow.RegisterOptions{Name: NameDestroyRun})
	w.RegisterWorkflowWithOptions(s.CheckRun, workflow.RegisterOptions{Name: NameCheckRun})
	w.RegisterWorkflowWithOptions(s.ProvisionRegion, workflow.RegisterOptions{Name: NameProvisionRegion})
	w.RegisterWorkflowWithOptions(s.DriftCheck, workflow.RegisterOptions{Name: NameDriftCheck})
}
