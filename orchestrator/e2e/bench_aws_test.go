package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/orchestrator"
	"meridian/providers/aws"
	"meridian/providers/aws/mototest"
	"meridian/stacks"
	"meridian/stacks/terraform/launch"
)

// awsFleet is how many databases of AWS are made at once: each launch of terraform holds most of a gigabyte.
const awsFleet = 4

// What the shell does by hand for each stack: what Meridian does for one whose plan a person reads before it is applied.
const shellCreate = "terraform init -input=false && terraform plan -input=false -out=tfplan && terraform show -json tfplan >shown && " +
	"terraform apply -input=false tfplan && terraform output -json >outputs"

// BenchmarkAWS compares databases of AWS, made in an emulator by the real provider hashicorp/aws, with a parallel shell loop of terraform on the
// same stacks: each is planned, its plan is read and approved, and applied; then each is looked at by a full plan, when nothing has changed. The
// emulator's own time is left out. Nobody waits for a database: the emulator's endpoints lead nowhere.
func BenchmarkAWS(b *testing.B) {
	plugin := stacks.ProviderRequirement{LocalName: "aws", Source: "hashicorp/aws", Version: aws.PluginVersion}
	mirror, ok := launch.ExistingMirrors(os.Environ(), []stacks.ProviderRequirement{plugin})[plugin.Source]
	if !ok {
		b.Skip("SKIPPED: the provider hashicorp/aws " + plugin.Version + " is in no mirror of this machine")
	}
	world := mototest.Start(b, frankfurt)
	s := newSite(b)
	s.env, s.patience = world.Env(), awsPatience
	r := serveMeasured(b, s)
	a := &awsBench{running: r, world: world}
	first := a.plan([]string{"first"}) // makes the template of .terraform, once for all that come
	a.cancel(first)
	sh := newAWSShell(b, r, first[0].ID, mirror, world.Env())
	var ours, theirs, oursAgain, theirsAgain side
	for b.Loop() {
		for round := range *benchRounds {
			names := make([]string, awsFleet)
			for i := range names {
				names[i] = fmt.Sprintf("db-%d-%d", round, i)
			}
			sides := []func(){
				func() {
					var runs []orchestrator.RunView
					ours.add(a.measure(func() {
						runs = a.plan(names)
						a.approve(runs)
						a.until(runs, terraformDone)
					}))
					a.cancel(runs)
					oursAgain.add(a.measure(func() { a.check(names) }))
				},
				func() {
					sh.layRegions(round)
					theirs.add(a.measure(func() { sh.loop(shellCreate) }))
					theirsAgain.add(a.measure(func() { sh.loop(shellVerify) }))
				},
			}
			if round%2 == 1 {
				slices.Reverse(sides)
			}
			for _, f := range sides {
				f()
			}
		}
	}
	t := &table{b: b, name: fmt.Sprintf("%d one-region databases of AWS (an emulator), %d terraforms at once", awsFleet, parallel())}
	compareCPU(t, "make, plan read and approved: ", "0.45 x", "make", ours, theirs)
	compareCPU(t, "check by full plan: ", "0.80 x", "check", oursAgain, theirsAgain)
	t.print()
}

// compareCPU adds the rows of a job of which only the CPU time has a goal.
func compareCPU(t *table, job, goal, unit string, ours, theirs side) {
	t.seconds(job+"CPU, Meridian", "", "", ours.cpu)
	t.seconds(job+"CPU, Meridian, of it the server", "", "", ours.server)
	t.seconds(job+"CPU, shell loop", "", "", theirs.cpu)
	t.ratio(job+"CPU, ratio", goal, unit+"-cpu-x", ours.cpu, theirs.cpu)
	t.seconds(job+"wall, Meridian", "", "", ours.wall)
	t.seconds(job+"wall, shell loop", "", "", theirs.wall)
	t.row(job+"launches, Meridian", slices.Max(ours.launches), "", slices.Compact(slices.Sorted(slices.Values(ours.launches)))...)
	t.row(job+"launches, shell loop", slices.Max(theirs.launches), "", slices.Compact(slices.Sorted(slices.Values(theirs.launches)))...)
}

// awsBench is a server that is measured with databases of AWS.
type awsBench struct {
	*running
	world *mototest.World
}

// measure is running.measure without what the emulator took.
func (a *awsBench) measure(f func()) measured {
	a.site.t.Helper()
	before, _ := readStat(a.world.PID)
	m := a.running.measure(f)
	after, ok := readStat(a.world.PID)
	if !ok {
		a.site.t.Fatal("the emulator is gone")
	}
	m.cpu -= after.cpu - before.cpu
	return m
}

func (a *awsBench) documents(names []string) (docs []orchestrator.Document) {
	for _, name := range names {
		docs = append(docs, orchestrator.Document{File: name + ".yaml", Text: fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: %s}
spec:
  engine: {name: postgres, version: "16"}
  regions:
    - name: here
      provider: aws
      location: %s
      role: primary
      settings:
        account: %q
        network: {subnetGroup: %s, vpc: %s, allow: [10.0.0.0/16]}
  deletion: {protect: false}
`, name, frankfurt, mototest.Account, mototest.SubnetGroup, a.world.Regions[frankfurt].VPC)})
	}
	return docs
}

// plan submits databases and waits until the plan of each can be read.
func (a *awsBench) plan(names []string) []orchestrator.RunView {
	a.site.t.Helper()
	res, err := a.Submit(context.Background(), orchestrator.SubmitRequest{Documents: a.documents(names), Actor: "bench"})
	if err != nil {
		a.site.t.Fatalf("submit: %v", err)
	}
	a.until(res.Runs, awaiting)
	return res.Runs
}

// approve reads each plan, with its values, and says yes to it.
func (a *awsBench) approve(list []orchestrator.RunView) {
	a.site.t.Helper()
	ctx := context.Background()
	for _, v := range list {
		v, err := a.Run(ctx, v.ID)
		if err == nil && !slices.ContainsFunc(v.Changes, func(c stacks.Change) bool { return c.Type == "aws_db_instance" && len(c.Attributes) > 10 }) {
			a.site.t.Fatalf("the plan of %s shows %+v: %s", v.ID, v.Changes, v.Message)
		}
		if err == nil {
			_, err = a.Approve(ctx, v.ID, v.PlanDigest, "bench")
		}
		if err != nil {
			a.site.t.Fatalf("approve %s: %v", v.ID, err)
		}
	}
}

// check looks at databases by a full plan, and wants nothing to have changed.
func (a *awsBench) check(names []string) {
	a.site.t.Helper()
	ctx := context.Background()
	res, err := a.Submit(ctx, orchestrator.SubmitRequest{Documents: a.documents(names), Check: true, Actor: "bench"})
	if err != nil {
		a.site.t.Fatalf("check: %v", err)
	}
	a.until(res.Runs, ended)
	for _, v := range res.Runs {
		if v, err := a.Run(ctx, v.ID); err != nil || v.Phase != stacks.PhaseDone || v.HasChanges {
			a.site.t.Fatalf("check %s is %s with %+v: %s, %v", v.ID, v.Phase, v.Changes, v.Message, err)
		}
	}
}

// cancel ends runs that wait for databases that nobody can reach.
func (a *awsBench) cancel(list []orchestrator.RunView) {
	a.site.t.Helper()
	for _, v := range list {
		if _, err := a.Cancel(context.Background(), v.ID, "bench"); err != nil {
			a.site.t.Fatalf("cancel %s: %v", v.ID, err)
		}
	}
	a.until(list, ended)
}

// newAWSShell is a shell loop whose stacks are those of a run that Meridian has planned, in the same emulator.
func newAWSShell(b *testing.B, r *running, run, mirror string, env []string) *shell {
	b.Helper()
	s := &shell{site: newSite(b), meter: r.meter, env: env}
	steps, err := r.rows.journal.Steps(context.Background(), run)
	if err != nil || len(steps) == 0 {
		b.Fatalf("steps of %s: %v %v", run, steps, err)
	}
	step, err := r.rows.journal.Step(context.Background(), steps[0].ID)
	if err != nil {
		b.Fatal(err)
	}
	s.model, s.config = step.Stack, filepath.Join(s.site.data, "terraformrc")
	s.write(s.config, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror))
	return s
}

// layRegions writes the stacks of a round, with names of their own.
func (s *shell) layRegions(round int) {
	s.site.t.Helper()
	s.dirs = nil
	for i := range awsFleet {
		name := fmt.Sprintf("shell%02d%d", round, i)
		dir := filepath.Join(s.site.data, "stacks", name)
		for _, f := range s.model.Files {
			s.write(filepath.Join(dir, filepath.FromSlash(f.Path)), []byte(strings.ReplaceAll(string(f.Content), s.model.ID.Incarnation, name)))
		}
		s.dirs = append(s.dirs, dir)
	}
}
