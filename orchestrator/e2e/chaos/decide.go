package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Role is what a process is to Meridian.
type Role string

// The roles. Server and worker are processes of the suite, the others come and go with the steps of a stack.
const (
	RoleServer    Role = "server"
	RoleWorker    Role = "worker"
	RoleRunner    Role = "runner"
	RoleShim      Role = "shim"
	RoleTerraform Role = "terraform"
	RolePlugin    Role = "plugin"
)

// Roles lists all of them.
func Roles() []Role { return append([]Role{RoleServer, RoleWorker}, family...) }

// family lists the roles that belong to one stack, outermost first.
var family = []Role{RoleRunner, RoleShim, RoleTerraform, RolePlugin}

// Blow is what is done to each victim of a decision.
type Blow string

// The blows. A stopped process goes on after the decision's Hold, or is killed then. What lingers is a plugin: it is stopped in the middle
// of its creates and goes on after the Hold, when everything around it is long dead and another attempt may be at work.
const (
	BlowKill     Blow = "KILL"
	BlowTerm     Blow = "TERM"
	BlowStop     Blow = "STOP+CONT"
	BlowStopKill Blow = "STOP+KILL"
	BlowLinger   Blow = "KILL, STOP+CONT of the plugin,"
)

// Decision is one kill point: when, whom, how. All of it follows from the seed.
type Decision struct {
	Number int
	// After is the pause since the decision before.
	After time.Duration
	// InCreate waits for a create in flight, and Into is how far into it the blow falls; otherwise the blow falls at once.
	InCreate bool
	Into     time.Duration
	Roles    []Role
	Blow     Blow
	Hold     time.Duration
	// Twice starts a second runner for a step whose runner has just begun, before the blow: what a worker does that takes the first for dead.
	Twice bool
	// Pick chooses among the stacks and processes that there are at that moment.
	Pick uint64
}

// String is one line for people.
func (d Decision) String() string {
	var roles []string
	for _, r := range d.Roles {
		roles = append(roles, string(r))
	}
	s := string(d.Blow) + " " + strings.Join(roles, "+")
	if d.Hold > 0 {
		s += fmt.Sprintf(" for %s", d.Hold)
	}
	return s
}

// Bounds of a decision, in shares of a hundred and in time.
const (
	shareInCreate = 75
	shareTwice    = 20
	maxAfter      = 900 * time.Millisecond
	maxInto       = 500 * time.Millisecond
	minHold       = 100 * time.Millisecond
	maxHold       = 3 * time.Second
)

// Decide makes the decisions of a run of the suite among roles: the same ones for the same seed. More kills only add to the end.
func Decide(seed uint64, kills int, among []Role) []Decision {
	out := make([]Decision, 0, kills)
	for n := range kills {
		r := rand.New(rand.NewPCG(seed, uint64(n)+1))
		d := Decision{
			Number: n + 1, After: upTo(r, maxAfter), InCreate: r.IntN(100) < shareInCreate,
			Into: upTo(r, maxInto), Pick: r.Uint64(),
		}
		switch blow := r.IntN(100); {
		case blow < 55:
			d.Blow = BlowKill
		case blow < 70:
			d.Blow = BlowTerm
		case blow < 82:
			d.Blow = BlowStop
		case blow < 90:
			d.Blow = BlowStopKill
		default:
			d.Blow = BlowLinger
		}
		d.Roles, d.Twice = some(r, among), r.IntN(100) < shareTwice
		if d.Blow == BlowLinger && !slices.Contains(among, RolePlugin) {
			d.Blow = BlowStop
		}
		switch d.Blow {
		case BlowLinger:
			d.InCreate, d.Roles = true, []Role{RoleShim, RoleTerraform, RolePlugin}
			d.Hold = maxHold + upTo(r, maxHold)
		case BlowStop, BlowStopKill:
			d.Hold = minHold + upTo(r, maxHold-minHold)
		}
		out = append(out, d)
	}
	return out
}

// upTo is a duration below most, in whole milliseconds.
func upTo(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most))).Round(time.Millisecond)
}

// some chooses one role mostly, two or three sometimes, and all at once now and then: what a machine that dies takes along.
func some(r *rand.Rand, among []Role) []Role {
	n := 1
	switch many := r.IntN(100); {
	case many >= 95:
		n = len(among)
	case many >= 85:
		n = 3
	case many >= 65:
		n = 2
	}
	var out []Role
	for _, i := range r.Perm(len(among))[:min(n, len(among))] {
		out = append(out, among[i])
	}
	slices.SortFunc(out, func(a, b Role) int { return slices.Index(among, a) - slices.Index(among, b) })
	return out
}
