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
	// RoleStore is the PostgreSQL node that holds the rows, where there is one.
	RoleStore Role = "store"
	// RoleTemporal is the Cassandra node that holds Temporal's workflows, where there is one.
	RoleTemporal Role = "cassandra"
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
	// BlowCancel asks the server to cancel a run, as a person would; BlowCancelKill kills the roles then, too.
	BlowCancel     Blow = "CANCEL"
	BlowCancelKill Blow = "CANCEL, KILL"
	// These fall on all of a site. The stops last longer than its lease: the whole machine sleeps, or all but the shims, which then end what
	// they watch. A machine that wakes lets its shims run first: that the kernel does so is taken for granted (docs/reliability.md).
	BlowSiteKill  Blow = "KILL site"
	BlowSiteSleep Blow = "STOP+CONT site"
	BlowSiteStop  Blow = "STOP+CONT site without its shims"
)

// ofSite reports whether all of a site is hit.
func (b Blow) ofSite() bool { return b == BlowSiteKill || b == BlowSiteSleep || b == BlowSiteStop }

// cancels reports whether a run is cancelled.
func (b Blow) cancels() bool { return b == BlowCancel || b == BlowCancelKill }

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
	// Site is which site a blow on all of one falls on, where no create in flight says it: 1 is the first.
	Site int
	// Pick chooses among the stacks and processes that there are at that moment.
	Pick uint64
}

// String is one line for people.
func (d Decision) String() string {
	var roles []string
	for _, r := range d.Roles {
		roles = append(roles, string(r))
	}
	if d.Blow.ofSite() {
		roles = append(roles, fmt.Sprint(d.Site))
	}
	s := strings.TrimSpace(string(d.Blow) + " " + strings.Join(roles, "+"))
	if d.Hold > 0 {
		s += fmt.Sprintf(" for %s", d.Hold)
	}
	return s
}

// Bounds of a decision, in shares of a hundred and in time.
const (
	shareInCreate = 75
	shareTwice    = 20
	shareCancel   = 8
	shareStore    = 6
	shareSite     = 8
	maxAfter      = 900 * time.Millisecond
	maxInto       = 500 * time.Millisecond
	minHold       = 100 * time.Millisecond
	maxHold       = 3 * time.Second
)

// Cast is whom the decisions of a run can mean.
type Cast struct {
	Roles []Role
	// Store says that the rows are in a PostgreSQL of the suite; Sites is how many sites there are beside the server's, and Lease theirs.
	Store bool
	Sites int
	Lease time.Duration
	// Temporal says that Temporal's workflows are in a Cassandra of the suite.
	Temporal bool
}

// Decide makes the decisions of a run of the suite: the same ones for the same seed and cast. More kills only add to the end.
func Decide(seed uint64, kills int, cast Cast) []Decision {
	among := cast.Roles
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
		if n := r.IntN(100); n < shareCancel {
			d.Blow, d.Hold = BlowCancelKill, 0
			if n < shareCancel/2 {
				d.Blow, d.Roles = BlowCancel, nil
			}
		}
		cast.more(r, &d)
		out = append(out, d)
	}
	return out
}

// more makes some decisions blows on what only a store or sites of its own have.
func (c Cast) more(r *rand.Rand, d *Decision) {
	store, site, which, long, temporal := r.IntN(100), r.IntN(100), r.IntN(10), upTo(r, maxHold), r.IntN(100)
	switch {
	case c.Temporal && temporal < shareStore:
		d.Roles, d.Blow, d.Hold = []Role{RoleTemporal}, BlowKill, 0
		if temporal < shareStore/3 {
			d.Blow, d.Hold = BlowStop, minHold+long
		}
	case c.Store && store < shareStore:
		d.Roles, d.Blow, d.Hold = []Role{RoleStore}, BlowKill, 0
		if store < shareStore/3 {
			d.Blow, d.Hold = BlowStop, minHold+long
		}
	case c.Sites > 0 && site < shareSite:
		d.Roles, d.Site, d.Hold = nil, 1+int(d.Pick%uint64(c.Sites)), 0
		switch {
		case which < 4:
			d.Blow = BlowSiteKill
		case which < 7:
			d.Blow = BlowSiteSleep
		default:
			d.Blow = BlowSiteStop
		}
		if d.Blow != BlowSiteKill {
			d.Hold = c.Lease + c.Lease/4 + long
		}
	}
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
