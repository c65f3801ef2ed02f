package chaos

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestDecisionsFollowFromTheSeed(t *testing.T) {
	t.Parallel()
	one := Cast{Roles: Roles()}
	first := Decide(7, 500, one)
	if again := Decide(7, 500, one); !reflect.DeepEqual(first, again) {
		t.Error("the same seed decides otherwise")
	}
	if more := Decide(7, 600, one); !reflect.DeepEqual(first, more[:500]) {
		t.Error("more kills change those before")
	}
	if reflect.DeepEqual(first, Decide(8, 500, one)) {
		t.Error("another seed decides the same")
	}
	blows, roles, alone, all := map[Blow]int{}, map[Role]int{}, 0, 0
	for _, d := range first {
		blows[d.Blow]++
		for _, r := range d.Roles {
			roles[r]++
		}
		switch len(d.Roles) {
		case 1:
			alone++
		case len(Roles()):
			all++
		}
		if stopped := d.Blow != BlowKill && d.Blow != BlowTerm && !d.Blow.cancels(); stopped != (d.Hold > 0) || d.Hold > 2*maxHold || d.After >= maxAfter || d.Into >= maxInto {
			t.Errorf("%+v is out of its bounds", d)
		}
	}
	for _, b := range []Blow{BlowKill, BlowTerm, BlowStop, BlowStopKill, BlowLinger, BlowCancel, BlowCancelKill} {
		if blows[b] < 10 {
			t.Errorf("%s is dealt %d times in 500", b, blows[b])
		}
	}
	for _, r := range Roles() {
		if roles[r] < 50 {
			t.Errorf("%s is hit %d times in 500", r, roles[r])
		}
	}
	if alone < 200 || all < 10 {
		t.Errorf("%d decisions hit one role, %d hit all", alone, all)
	}
}

func TestDecisionsKeepToTheirRoles(t *testing.T) {
	t.Parallel()
	among := []Role{RoleServer, RoleShim}
	for _, d := range Decide(1, 200, Cast{Roles: among}) {
		if (len(d.Roles) == 0) != (d.Blow == BlowCancel) || slices.ContainsFunc(d.Roles, func(r Role) bool { return !slices.Contains(among, r) }) {
			t.Errorf("%+v is not among %v", d, among)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	living := []process{
		{pid: 1, role: RoleServer}, {pid: 2, role: RoleWorker}, {pid: 3, role: RoleWorker}, {pid: 4},
		{pid: 10, role: RoleRunner, stack: "a/x"}, {pid: 11, role: RoleTerraform, stack: "a/x"}, {pid: 12, role: RolePlugin, stack: "a/x"}, {pid: 13, role: RolePlugin, stack: "a/x"},
		{pid: 20, role: RoleTerraform, stack: "b/y"},
	}
	for name, c := range map[string]struct {
		roles []Role
		pick  uint64
		stack string
		want  []int
	}{
		"the server":                  {[]Role{RoleServer}, 5, "a/x", []int{1}},
		"one of the workers":          {[]Role{RoleWorker}, 1, "", []int{3}},
		"of the stack that is given":  {[]Role{RoleTerraform}, 0, "b/y", []int{20}},
		"of a stack by the pick":      {[]Role{RoleTerraform}, 3, "", []int{20}},
		"all plugins of the stack":    {[]Role{RolePlugin}, 0, "", []int{12, 13}},
		"together":                    {[]Role{RoleServer, RoleRunner, RoleTerraform}, 0, "a/x", []int{1, 10, 11}},
		"what there is of it":         {[]Role{RoleRunner, RoleTerraform}, 0, "b/y", []int{20}},
		"nothing where there is none": {[]Role{RoleShim}, 0, "", nil},
	} {
		var got []int
		for _, p := range choose(living, Decision{Roles: c.roles, Pick: c.pick}, c.stack) {
			got = append(got, p.pid)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	const data = "/srv/m"
	for name, c := range map[string]struct {
		args  []string
		dir   string
		role  Role
		stack string
	}{
		"server":            {[]string{"/bin/meridian", "server", "--data", data}, "/", RoleServer, ""},
		"worker":            {[]string{"/bin/meridian", "worker", "--data", data}, "/", RoleWorker, ""},
		"another verb":      {[]string{"/bin/meridian", "apply"}, "/", "", ""},
		"runner":            {[]string{"/bin/meridian-runner", "step", "--data", data, "--step", "inc-3/ankara/apply.1"}, "/", RoleRunner, "inc/ankara"},
		"a copy of it":      {[]string{data + "/bin/meridian-runner-0f3a", "step", "--step", "inc-3/ankara/plan.2"}, "/", RoleRunner, "inc/ankara"},
		"shim":              {[]string{"meridian-runner", "shim", "--spool", data}, filepath.Join(data, "work", "default", "my-db-inc", "ankara"), RoleShim, "inc/ankara"},
		"terraform":         {[]string{"/bin/terraform", "apply", "-json"}, filepath.Join(data, "work", "default", "c1-inc", "ankara"), RoleTerraform, "inc/ankara"},
		"plugin":            {[]string{".terraform/terraform-provider-localdb_v0.1.0"}, filepath.Join(data, "work", "default", "c1-inc", "ankara"), RolePlugin, "inc/ankara"},
		"plugin of a check": {[]string{".terraform/terraform-provider-localdb_v0.1.0"}, data + "/check/x/y", RolePlugin, ""},
		"postgres":          {[]string{"/usr/lib/postgres", "-D", data + "/servers/default.c1.inc.ankara/data"}, "/", "", ""},
	} {
		if role, stack := classify(c.args, c.dir, data); role != c.role || stack != c.stack {
			t.Errorf("%s: %q of %q, want %q of %q", name, role, stack, c.role, c.stack)
		}
	}
}

func TestCreates(t *testing.T) {
	t.Parallel()
	open := lines("1 create begin /s/default.c2.two.ankara", "2 create begin /s/default.c1.one.ankara.beside.01", "2 create begin /s/default.c1.one.ankara.beside.02")
	if got := creates(open, false); !slices.Equal(got, []string{"one/ankara", "two/ankara"}) {
		t.Errorf("stacks with a create in flight: %v", got)
	}
	if got := creates(open, true); !slices.Equal(got, []string{"one/ankara"}) {
		t.Errorf("stacks that make directories: %v", got)
	}
}

func TestDecisionsOnSites(t *testing.T) {
	t.Parallel()
	cast := Cast{Roles: Roles(), Store: true, Sites: 2, Lease: time.Minute}
	blows, sites, stores := map[Blow]int{}, map[int]int{}, 0
	for _, d := range Decide(7, 500, cast) {
		blows[d.Blow]++
		if slices.Contains(d.Roles, RoleStore) {
			stores++
		}
		if !d.Blow.ofSite() {
			continue
		}
		sites[d.Site]++
		if d.Blow != BlowSiteKill && d.Hold < cast.Lease*5/4 {
			t.Errorf("%+v is shorter than the lease of %s", d, cast.Lease)
		}
	}
	for _, b := range []Blow{BlowSiteKill, BlowSiteSleep, BlowSiteStop} {
		if blows[b] < 5 {
			t.Errorf("%s is dealt %d times in 500", b, blows[b])
		}
	}
	if stores < 15 || len(sites) != 2 {
		t.Errorf("the store is hit %d times, sites %v", stores, sites)
	}
	for _, d := range Decide(7, 500, Cast{Roles: Roles(), Store: true}) {
		if d.Blow.ofSite() {
			t.Errorf("%+v, and there is one site", d)
		}
	}
}
