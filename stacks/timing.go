package stacks

import "time"

// Timing holds every lease, heartbeat, poll and reconcile duration of Meridian, each with its reason. Tests scale it.
type Timing struct {
	// ShipEvery is how often a runner ships events and snapshots: 150 ms keeps progress live at a few commits a second.
	ShipEvery time.Duration
	// SnapshotDebounce waits for terraform to finish rewriting its state in place.
	SnapshotDebounce time.Duration
	// BeatEvery is how often a runner renews its head.
	BeatEvery time.Duration
	// AttachPoll is how often an attached activity looks at the head and the events in the store.
	AttachPoll time.Duration
	// Heartbeat is the heartbeat timeout of attached activities: a dead worker is noticed after it.
	Heartbeat time.Duration
	// ReadyEvery is the first interval of the readiness poll; Temporal's retry treats less than 1 s as 1 s.
	ReadyEvery time.Duration
	// ReadyMaxEvery caps the readiness poll.
	ReadyMaxEvery time.Duration
	// ReconcileEvery is how often rows and workflows are compared.
	ReconcileEvery time.Duration
	// LightTimeout bounds one attempt of a step that only touches rows or asks a database once.
	LightTimeout time.Duration
	// LinkTimeout bounds one attempt of a link step: the schema copy and the initial copy's wait are cut into attempts.
	LinkTimeout time.Duration
	// LinkLook is how long one attempt goes on looking at a link that is not proven yet: a small first copy takes about a second, and the next
	// attempt comes a second later at the earliest.
	LinkLook time.Duration
	// CancelPoll is how often a step that waits for databases looks whether its run was cancelled.
	CancelPoll time.Duration
	// WorkflowTaskTimeout is how long the server waits for a worker that took a workflow task: after a kill each run that had one stands
	// still for it. 5 s is what Temporal's sticky queue of the dead worker costs anyway, and many times what a task takes on a busy machine;
	// local activities that take longer extend it.
	WorkflowTaskTimeout time.Duration
	// PlanHang is how long a plan may say nothing new before it is told to stop: refreshing the slowest stack says something every minute.
	PlanHang time.Duration
	// ApplyHang is the same for an apply, whose "Still creating..." does not count: the slowest single creation of a cloud (a restore, the
	// first replica of terabytes) takes a few hours, and to stop one that would have ended costs another look and another plan.
	ApplyHang time.Duration
	// ReadyHang is how long what is waited for after an apply may stay the same before the region fails.
	ReadyHang time.Duration
	// ProgressEvery is how often the cloud is asked what it does while terraform waits for it: it says something new every minute or so, and
	// all databases of an account share its rate limits.
	ProgressEvery time.Duration
	// StopGrace is how long a terraform that was told to stop (SIGINT) has before SIGKILL.
	StopGrace time.Duration
	// ShutdownFinish is how long a terraform may go on once its host shuts down, before it is told to stop: most single changes of a cloud are
	// through by then, and whoever waits for the host notices little.
	ShutdownFinish time.Duration
	// Lease is how long a site may let terraform work on a stack without a sign of life in a store that several sites share: long enough
	// that a failover of the store or of a network disturbs nobody. Each beat renews it.
	Lease time.Duration
	// LeaseStop is how long before the lease's end terraform gets SIGINT: long enough for most clouds to answer what is in flight.
	LeaseStop time.Duration
	// LeaseKill is how long before the lease's end terraform's processes get SIGKILL: no call of theirs is sent after it.
	LeaseKill time.Duration
	// DriftEvery is how often a database is checked for drift whose spec does not say: an hour is soon enough to be told of what somebody did
	// by hand, and a check costs no more than one plan of each region. 0 is never.
	DriftEvery time.Duration
	// KeyGrace is how long a key of the keyring must have been the newest before older ones may be taken out: whoever sealed with an old one just
	// before has written that down by then, and clocks of machines differ by less.
	KeyGrace time.Duration
}

// DefaultTiming is what users get.
func DefaultTiming() Timing {
	return Timing{
		ShipEvery: 150 * time.Millisecond, SnapshotDebounce: 50 * time.Millisecond, BeatEvery: 5 * time.Second,
		AttachPoll: 50 * time.Millisecond, Heartbeat: 10 * time.Second,
		ReadyEvery: time.Second, ReadyMaxEvery: 15 * time.Second, ReconcileEvery: 10 * time.Second,
		LightTimeout: 15 * time.Second, LinkTimeout: 60 * time.Second, LinkLook: 5 * time.Second, CancelPoll: 250 * time.Millisecond, WorkflowTaskTimeout: 5 * time.Second,
		PlanHang: 30 * time.Minute, ApplyHang: 4 * time.Hour, ReadyHang: 12 * time.Hour,
		ProgressEvery: 10 * time.Second,
		StopGrace:     60 * time.Second, ShutdownFinish: 60 * time.Second,
		Lease: 10 * time.Minute, LeaseStop: 120 * time.Second, LeaseKill: 30 * time.Second,
		DriftEvery: time.Hour, KeyGrace: time.Minute,
	}
}
