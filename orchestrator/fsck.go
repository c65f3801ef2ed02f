package orchestrator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/catalog"
)

// The names of the invariants that fsck holds; stable. docs/operations.md tells what each says and what --repair does about it.
const (
	CheckStoreSound     = "store.sound"
	CheckSealed         = "keyring.opens"
	CheckJournalRows    = "journal.rows"
	CheckCatalogRows    = "catalog.rows"
	CheckRunActive      = "run.active"
	CheckRunWorkflow    = "run.workflow"
	CheckWorkflowRow    = "workflow.run"
	CheckHeadRunner     = "head.runner"
	CheckHeadDatabase   = "head.database"
	CheckSpoolHead      = "spool.head"
	CheckWorldKnown     = "world.known"
	CheckWorldThere     = "world.there"
	CheckWorldReachable = "world.reachable"
	CheckLinkSlots      = "link.slots"
	CheckTemporal       = "temporal.answers"
)

// Checks lists the names of all invariants, in the order in which they are looked at.
var Checks = []string{
	CheckStoreSound, CheckSealed, CheckJournalRows, CheckCatalogRows, CheckRunActive, CheckTemporal, CheckRunWorkflow, CheckWorkflowRow,
	CheckHeadRunner, CheckHeadDatabase, CheckSpoolHead, CheckWorldReachable, CheckWorldKnown, CheckWorldThere, CheckLinkSlots,
}

// FsckRequest asks for a look at everything. Repair does what is proven safe. Accept is the Digest of a look whose findings a person has
// read: a read-only store may be applied to again although they are left.
type FsckRequest struct {
	Repair bool
	Accept string
	Actor  string
}

// FsckView is what a look found.
type FsckView struct {
	// Checks are the invariants that were held.
	Checks   []string      `json:"checks"`
	Findings []FsckFinding `json:"findings"`
	// Digest names exactly these findings.
	Digest string `json:"digest"`
	// ReadOnly says why nothing is applied; empty where it is.
	ReadOnly string `json:"readOnly,omitempty"`
	// Ended says that this look ended the store's being read-only.
	Ended bool `json:"ended,omitempty"`
}

// FsckFinding is one thing that is not as an invariant says.
type FsckFinding struct {
	Check   string `json:"check"`
	Subject string `json:"subject"`
	What    string `json:"what"`
	Next    string `json:"next,omitempty"`
	// Repaired says what was done about it.
	Repaired string `json:"repaired,omitempty"`
	// repair does what is proven safe and says what that was; nil where a person has to decide.
	repair func(context.Context) (string, error)
}

// Agree reports whether nothing is left that is not as it should be.
func (v FsckView) Agree() bool {
	return !slices.ContainsFunc(v.Findings, func(f FsckFinding) bool { return f.Repaired == "" })
}

// Fsck looks whether catalog, journal, Temporal and the world agree. A read-only store becomes an ordinary one where they do, or where a
// person accepts exactly what is left.
func (c *Client) Fsck(ctx context.Context, in FsckRequest) (FsckView, error) {
	v := FsckView{Checks: Checks, Findings: []FsckFinding{}}
	var err error
	if v.ReadOnly, err = c.catalog.ReadOnly(ctx); err != nil {
		return v, err
	}
	look := census{client: c, view: &v}
	if err := look.take(ctx); err != nil {
		return v, err
	}
	slices.SortStableFunc(v.Findings, func(a, b FsckFinding) int {
		return cmp.Or(cmp.Compare(slices.Index(Checks, a.Check), slices.Index(Checks, b.Check)), strings.Compare(a.Subject, b.Subject))
	})
	if in.Repair {
		c.repair(ctx, &v, in.Actor)
	}
	v.Digest = findingsDigest(v.Findings)
	return v, c.endReadOnly(ctx, &v, in)
}

// repair does what is proven safe about each finding, and audits it.
func (c *Client) repair(ctx context.Context, v *FsckView, actor string) {
	for i, f := range v.Findings {
		if f.repair == nil {
			continue
		}
		done, err := f.repair(ctx)
		if err == nil {
			err = c.catalog.RecordAudit(ctx, catalog.Audit{Actor: actor, Verb: "fsck repair", Subject: f.Check + " " + f.Subject, Detail: done})
		}
		if err != nil {
			v.Findings[i].Next = "it could not be repaired: see the server's log"
			c.logger.Warn("fsck repair", "check", f.Check, "subject", f.Subject, "error", err)
			continue
		}
		v.Findings[i].Repaired = done
	}
}

// endReadOnly lets a store that was put back be applied to again.
func (c *Client) endReadOnly(ctx context.Context, v *FsckView, in FsckRequest) error {
	if v.ReadOnly == "" {
		return nil
	}
	detail := "everything agrees"
	switch {
	case v.Agree():
	case in.Accept == "":
		return nil
	case in.Accept != v.Digest:
		return &Problem{Code: CodeStalePlan, Title: "these are not the findings that you accept", Detail: "they are " + v.Digest + " by now", Next: "read them again: meridian fsck"}
	default:
		detail = fmt.Sprintf("accepted %d findings, digest %s", len(v.Findings), v.Digest)
	}
	err := c.catalog.EndReadOnly(ctx, catalog.Audit{Actor: in.Actor, Verb: "end read-only", Subject: "store", Detail: detail})
	if err != nil {
		return err
	}
	v.ReadOnly, v.Ended = "", true
	return nil
}

// findingsDigest names what is left of the findings.
func findingsDigest(list []FsckFinding) string {
	h := sha256.New()
	for _, f := range list {
		if f.Repaired == "" {
			fmt.Fprintf(h, "%q %q %q\n", f.Check, f.Subject, f.What)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
