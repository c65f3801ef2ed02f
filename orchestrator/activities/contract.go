package activities

import "meridian/stacks"

// ContractVersion is the version of what workflows and activities say to each other; it is part of every input.
const ContractVersion = 1

// The names of the activities, as they stand in histories. A shipped name never changes.
const (
	NameNextRun       = "NextRun"
	NameStep          = "Step"
	NameEndRun        = "EndRun"
	NameFailRegion    = "FailRegion"
	NameFailLink      = "FailLink"
	NameWatchRun      = "WatchRun"
	NameSettleStack   = "SettleStack"
	NamePlanStack     = "PlanStack"
	NameCheckStack    = "CheckStack"
	NameApplyStack    = "ApplyStack"
	NameCheckReady    = "CheckReady"
	NameEnsureObjects = "EnsureObjects"
	NameRemoveRegion  = "RemoveRegion"
	NameEnsureLink    = "EnsureLink"
	NameCheckLink     = "CheckLink"
	NameRemoveLink    = "RemoveLink"
	NameBeginDrift    = "BeginDrift"
	NameDriftStack    = "DriftStack"
	NameDriftInside   = "DriftInside"
	NameDriftLink     = "DriftLink"
	NameEndDrift      = "EndDrift"
)

// DatabaseInput names a database.
type DatabaseInput struct {
	Contract  int
	Namespace string
	Name      string
}

// NextRunResult is the run that the funnel must work on, or none.
type NextRunResult struct {
	Run  string
	Kind stacks.RunKind
}

// RunInput names a run.
type RunInput struct {
	Contract int
	Run      string
}

// EndRunInput names a run whose workflow ended before the run did.
type EndRunInput struct {
	Contract int
	Run      string
	// Reason is the machine's word, like "OperatorEnded".
	Reason string
}

// WatchRunInput names a run and the workflow that works on it.
type WatchRunInput struct {
	Contract int
	Run      string
	Workflow string
}

// StepInput says which phase of a run was worked through; Done "" only reads.
type StepInput struct {
	Contract int
	Run      string
	Done     stacks.Phase
}

// StepResult says where the run stands and what there is to do in that phase.
type StepResult struct {
	Phase   stacks.Phase
	Regions []RegionWork
	Links   []string
}

// RegionWork is one region to plan or to provision.
type RegionWork struct {
	Region   string
	Location string
	// Settle says that an interrupted apply left something: it is looked after before the plan.
	Settle bool `json:",omitempty"`
	// Destroy says that this run removes the region.
	Destroy bool
	// Changed says that terraform has something to apply.
	Changed bool
	// After lists regions of this work that have to come to their end first: the region joins them, or they have joined it and go before it.
	After []string `json:",omitempty"`
}

// RegionInput names a region of a run.
type RegionInput struct {
	Contract int
	Run      string
	Region   string
}

// FailRegionInput names a region of a run whose step gave up.
type FailRegionInput struct {
	RegionInput
	// Ended says that its workflow was ended from outside: no error tells why.
	Ended bool
}

// RegionResult says whether the region's next step may follow; if not, the row says why.
type RegionResult struct{ Go bool }

// LinkInput names a link of a run.
type LinkInput struct {
	Contract int
	Run      string
	Link     string
}

// DriftInput names a check for drift. A check on schedule has no ID yet: Execution, which names the execution that asks, makes it.
type DriftInput struct {
	Contract    int
	Incarnation string
	Check       string
	Reason      string
	Execution   string
	Workflow    string
}

// DriftWork is what a check has to look at; nothing where it has ended, or must not be made.
type DriftWork struct {
	Check   string
	Regions []RegionWork
	Links   []string
}

// DriftPartInput names one region or link of a check.
type DriftPartInput struct {
	Contract int
	Check    string
	Part     string
}

// subject is what an activity works on, for logs.
type subject interface{ subject() (run, part string) }

func (i RunInput) subject() (string, string)      { return i.Run, "" }
func (i WatchRunInput) subject() (string, string) { return i.Run, "" }
func (i EndRunInput) subject() (string, string)   { return i.Run, "" }
func (i StepInput) subject() (string, string)     { return i.Run, "" }
func (i RegionInput) subject() (string, string)   { return i.Run, i.Region }
func (i DriftInput) subject() (string, string)    { return i.Check, "" }

func (i DriftPartInput) subject() (string, string) { return i.Check, i.Part }
func (i LinkInput) subject() (string, string)      { return i.Run, i.Link }
