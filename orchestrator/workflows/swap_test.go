package workflows

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"meridian/orchestrator/activities"
	"meridian/stacks"
)

// nondeterminism is the number of Temporal's rule that a replay broke. The replayer gives the failure only as text.
const nondeterminism = "TMPRL1100"

// TestReplayCatchesSwappedActivities wants no two activities of a history to change places unnoticed.
func TestReplayCatchesSwappedActivities(t *testing.T) {
	pairs := map[[2]string]int{}
	for _, file := range histories(t, unreleased) {
		h := read(t, file)
		var names []string
		for _, q := range questions(t, h) {
			words := strings.Fields(q)
			if i := slices.Index(words, "activity"); i >= 0 && !slices.Contains(names, words[i+1]) {
				names = append(names, words[i+1])
			}
		}
		slices.Sort(names)
		for i, a := range names {
			for _, b := range names[i+1:] {
				pairs[[2]string{a, b}]++
				err := replayer(t, &swap{a: a, b: b}).ReplayWorkflowHistory(quiet(), h)
				if err == nil || !strings.Contains(err.Error(), nondeterminism) {
					t.Errorf("%s: %s and %s changed places, and its replay says %v", file, a, b, err)
				}
			}
		}
		// The interceptor alone changes nothing.
		if err := replayer(t, &swap{}).ReplayWorkflowHistory(quiet(), h); err != nil {
			t.Errorf("%s: nothing changed, and its replay says %v", file, err)
		}
	}
	for _, p := range [][2]string{
		{activities.NameCheckLink, activities.NameEnsureLink}, {activities.NameCheckReady, activities.NameEnsureObjects},
		{activities.NameApplyStack, activities.NameCheckReady}, {activities.NamePlanStack, activities.NameStep},
	} {
		if pairs[p] == 0 {
			t.Errorf("no fixture has both %s and %s", p[0], p[1])
		}
	}
}

// swap makes workflows ask for activity a where they ask for b, and the other way round.
type swap struct {
	interceptor.WorkerInterceptorBase
	a, b string
}

func (s *swap) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	in := &swapInbound{swap: s}
	in.Next = next
	return in
}

type swapInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	swap *swap
}

func (s *swapInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	out := &swapOutbound{swap: s.swap}
	out.Next = next
	return s.Next.Init(out)
}

type swapOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	swap *swap
}

func (s *swapOutbound) other(name string) string {
	switch name {
	case s.swap.a:
		return s.swap.b
	case s.swap.b:
		return s.swap.a
	}
	return name
}

func (s *swapOutbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	return s.Next.ExecuteActivity(ctx, s.other(name), args...)
}

func (s *swapOutbound) ExecuteLocalActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	return s.Next.ExecuteLocalActivity(ctx, s.other(name), args...)
}

// TestReplayCatchesAnotherOrder replays ProvisionRegion's history with what somebody could make of it.
func TestReplayCatchesAnotherOrder(t *testing.T) {
	file := filepath.Join(fixtures, unreleased, "create", NameProvisionRegion+"-ankara.json")
	real := Workflows{Timing: stacks.DefaultTiming()}
	tests := map[string]struct {
		region func(workflow.Context, RegionInput) error
		fails  bool
	}{
		"as it is":             {region: real.ProvisionRegion},
		"as it is, told anew":  {region: retold(real, activities.NameApplyStack, activities.NameCheckReady, activities.NameEnsureObjects)},
		"objects before ready": {region: retold(real, activities.NameApplyStack, activities.NameEnsureObjects, activities.NameCheckReady), fails: true},
		"ready before applied": {region: retold(real, activities.NameCheckReady, activities.NameApplyStack, activities.NameEnsureObjects), fails: true},
		"objects forgotten":    {region: retold(real, activities.NameApplyStack, activities.NameCheckReady), fails: true},
		"a second look":        {region: retold(real, activities.NameApplyStack, activities.NameCheckReady, activities.NameCheckReady, activities.NameEnsureObjects), fails: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := worker.NewWorkflowReplayer()
			r.RegisterWorkflowWithOptions(tc.region, workflow.RegisterOptions{Name: NameProvisionRegion})
			err := r.ReplayWorkflowHistory(quiet(), read(t, file))
			switch {
			case !tc.fails && err != nil:
				t.Errorf("the replay says %v", err)
			case tc.fails && (err == nil || !strings.Contains(err.Error(), nondeterminism)):
				t.Errorf("the replay says %v, want nondeterminism", err)
			}
		})
	}
}

// retold is a ProvisionRegion that asks for these activities in this order.
func retold(s Workflows, names ...string) func(workflow.Context, RegionInput) error {
	return func(ctx workflow.Context, in RegionInput) error {
		subject := activities.RegionInput{Contract: activities.ContractVersion, Run: in.Run, Region: in.Region}
		for _, name := range names {
			var f workflow.Future
			if name == activities.NameApplyStack {
				f = workflow.ExecuteActivity(terraform(ctx, s.Timing, TerraformQueue(in.Installation, in.Location), ""), name, subject)
			} else {
				f = workflow.ExecuteLocalActivity(light(ctx, s.Timing), name, subject)
			}
			if err := f.Get(ctx, nil); err != nil {
				return err
			}
		}
		return nil
	}
}
