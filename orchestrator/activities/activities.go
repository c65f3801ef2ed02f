// Package activities does the work that workflows order: one file per activity, each idempotent. Rows tell an activity what to
// do and take what came of it; inputs and results are IDs.
//
// Activities never decide the order, sleep, or call one another, and no text of a cloud, no plan and no secret leaves them towards
// Temporal: errors.go sees to that.
package activities

import (
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// Options are what the activities work with.
type Options struct {
	Catalog  *catalog.Catalog
	Journal  *journal.Journal
	Registry *providers.Registry
	Site     terraform.Site
	// Runner is the path of meridian-runner; RunnerEnv is added to its environment (settings of the server that it must share).
	Runner    string
	RunnerEnv []string
	// Scope is what a runner is started with: see FindScope.
	Scope  []string
	Timing stacks.Timing
	// Clock is by what time is judged.
	Clock  terraform.Clock
	Logger *slog.Logger
	// Drain is how long attached steps may go on once the worker stops; 0 lets go of them at once. Their runners go on in any case.
	Drain time.Duration
	// Retention says what of old runs is kept: DefaultRetention where it is empty.
	Retention Retention
}

// Activities are the activities of one worker.
type Activities struct {
	Options
}

// New returns activities on these options.
func New(o Options) *Activities { return &Activities{Options: o} }

// Registration is one activity under its name.
type Registration struct {
	Name string
	Func any
	// Terraform activities are registered on the terraform queues, the others on the main one.
	Terraform bool
}

// Registrations is the one list of all activities.
func (a *Activities) Registrations() []Registration {
	return []Registration{
		{Name: NameNextRun, Func: a.NextRun},
		{Name: NameStep, Func: a.Step},
		{Name: NameEndRun, Func: a.EndRun},
		{Name: NameFailRegion, Func: a.FailRegion},
		{Name: NameFailLink, Func: a.FailLink},
		{Name: NameWatchRun, Func: a.WatchRun},
		{Name: NameSettleStack, Func: a.SettleStack},
		{Name: NamePlanStack, Func: a.PlanStack, Terraform: true},
		{Name: NameCheckStack, Func: a.CheckStack, Terraform: true},
		{Name: NameApplyStack, Func: a.ApplyStack, Terraform: true},
		{Name: NameCheckReady, Func: a.CheckReady},
		{Name: NameEnsureObjects, Func: a.EnsureObjects},
		{Name: NameRemoveRegion, Func: a.RemoveRegion},
		{Name: NameEnsureLink, Func: a.EnsureLink},
		{Name: NameCheckLink, Func: a.CheckLink},
		{Name: NameRemoveLink, Func: a.RemoveLink},
		{Name: NameBeginDrift, Func: a.BeginDrift},
		{Name: NameDriftStack, Func: a.DriftStack, Terraform: true},
		{Name: NameDriftInside, Func: a.DriftInside},
		{Name: NameDriftLink, Func: a.DriftLink},
		{Name: NameEndDrift, Func: a.EndDrift},
	}
}

// Register registers the main activities, or those that need terraform, on w.
func (a *Activities) Register(w worker.ActivityRegistry, onTerraform bool) {
	for _, r := range a.Registrations() {
		if r.Terraform == onTerraform {
			w.RegisterActivityWithOptions(r.Func, activity.RegisterOptions{Name: r.Name})
		}
	}
}
