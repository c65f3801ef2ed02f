package stacks

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// DriftKind is what kind of drift an item is.
type DriftKind string

// The kinds of drift. The first three are seen by terraform, the others by asking the databases themselves.
const (
	DriftChanged     DriftKind = "changed"     // an attribute is not as it was applied
	DriftGone        DriftKind = "gone"        // an object is there no more
	DriftExtra       DriftKind = "extra"       // an object is known that nothing asks for
	DriftUnreachable DriftKind = "unreachable" // nothing answers where the database was
	DriftLogin       DriftKind = "login"       // a password, or the right to log in, is another
	DriftMissing     DriftKind = "missing"     // a database or user inside of the server is there no more
	DriftLink        DriftKind = "link"        // a link does not replicate
	DriftLag         DriftKind = "lag"         // a link replicates later than maxLag
	DriftSlot        DriftKind = "slot"        // a slot that no link reads holds the source's log back
)

// DriftItem is one thing that is not as it was applied, or, of an unapplied change, not yet as the newest revision wants it. Want and Found
// are JSON text of attributes, and words of anything else; sensitive values are never here.
type DriftItem struct {
	Kind   DriftKind `json:"kind"`
	Region string    `json:"region"`
	// Subject is a resource's address, or what it is ("user shop", "link ankara-istanbul"); Path the attribute.
	Subject   string `json:"subject"`
	Path      string `json:"path,omitempty"`
	Want      string `json:"want,omitempty"`
	Found     string `json:"found,omitempty"`
	Sensitive bool   `json:"sensitive,omitempty"`
	// DataBearing marks something whose loss is a loss of data, Replaces what could only be put back by a replacement.
	DataBearing bool   `json:"dataBearing,omitempty"`
	Replaces    bool   `json:"replaces,omitempty"`
	Message     string `json:"message,omitempty"`
	// Grown marks what can only grow and is above what it was applied as: no plan puts it back.
	Grown bool `json:"grown,omitempty"`
	// Ignored says who said that this is no drift ("the spec", "ada@host"), Accepted that it was for exactly this value.
	Ignored  string `json:"ignored,omitempty"`
	Accepted bool   `json:"accepted,omitempty"`
}

// Key is the item's name in patterns: it says where, not what the value is.
func (i DriftItem) Key() string {
	key := i.Region + ": " + i.Subject
	if i.Path != "" && i.Path[0] != '[' {
		key += "."
	}
	return key + i.Path
}

// DriftInput is what one region's plans say.
type DriftInput struct {
	Region string
	// Settled says that the last apply of the region ended well, so that its stack is what the world was brought to.
	Settled bool
	// Plan is what terraform would change to come back to what was applied last; Moved is what its refresh found to have moved, of what the
	// configuration sets.
	Plan, Moved []Change
	// Next is what the stack of a newer revision would change, where there is one.
	Next    []Change
	HasNext bool
	// Growths are what the cloud raises by itself, of the stack that was applied last.
	Growths []Growth
}

// FindDrift tells what the world did (drift) from what the spec did (unapplied), attribute by attribute. It is pure.
//
// A plan against what was applied last changes nothing unless the world moved: each of its changes is drift. What the plan lets be though the
// configuration sets it (ignore_changes) is taken from the refresh. Where the last apply did not end well, its plan also holds the rest of
// that apply, so only what the refresh found counts as drift. What the cloud raised by itself, up to where it may, is none.
func FindDrift(in DriftInput) (drift, unapplied []DriftItem) {
	planned := driftOf(in, in.Plan, func(c AttributeChange) (want, found string) { return c.After, c.Before })
	moved := driftOf(in, in.Moved, func(c AttributeChange) (want, found string) { return c.Before, c.After })
	// The refresh's words for what happened to an object as a whole are the other way round: it found a delete where the plan has a create.
	for i, m := range moved {
		switch m.Kind {
		case DriftExtra:
			moved[i].Kind = DriftGone
		case DriftGone:
			moved[i].Kind = DriftExtra
		}
	}
	if in.Settled {
		drift = planned
		for _, m := range moved {
			if !slices.ContainsFunc(planned, func(p DriftItem) bool { return covers(p, m) }) {
				drift = append(drift, m)
			}
		}
	} else {
		drift = moved
		for _, p := range planned {
			if !slices.ContainsFunc(moved, func(m DriftItem) bool { return covers(m, p) }) {
				unapplied = append(unapplied, p)
			}
		}
	}
	if in.HasNext {
		unapplied = append(unapplied, unappliedOf(in, planned)...)
	}
	sortDrift(drift)
	sortDrift(unapplied)
	return drift, unapplied
}

// covers reports whether an item says what another does, or more: an object that is gone has no attributes.
func covers(a, b DriftItem) bool {
	return a.Subject == b.Subject && (a.Path == "" || a.Path == b.Path || strings.HasPrefix(b.Path, a.Path+".") || strings.HasPrefix(b.Path, a.Path+"["))
}

// unappliedOf is what a newer revision's plan changes beyond putting back what the world did.
func unappliedOf(in DriftInput, planned []DriftItem) []DriftItem {
	var out []DriftItem
	for _, n := range itemsOf(in.Region, in.Next, func(c AttributeChange) (want, found string) { return c.After, c.Before }) {
		i := slices.IndexFunc(planned, func(p DriftItem) bool { return p.Subject == n.Subject && p.Path == n.Path && p.Kind == n.Kind })
		if i >= 0 && planned[i].Want == n.Want {
			continue // it only puts back what the world did
		}
		if i >= 0 { // both moved: what was applied is what the spec comes from
			n.Found = planned[i].Want
		}
		out = append(out, n)
	}
	return out
}

// driftOf takes apart the changes of what was applied last, without what grew by itself; what grew further is marked.
func driftOf(in DriftInput, changes []Change, values func(AttributeChange) (want, found string)) []DriftItem {
	out := itemsOf(in.Region, grew(in.Growths, changes, values), values)
	for _, c := range changes {
		for _, a := range c.Attributes {
			want, found := values(a)
			if _, higher := growthOf(in.Growths, c, a, want, found); !higher {
				continue
			}
			for i := range out {
				out[i].Grown = out[i].Grown || out[i].Subject == c.Address && out[i].Path == a.Path
			}
		}
	}
	return out
}

// itemsOf takes a plan's changes apart. Outputs, looks and moved addresses change nothing in the world; what is known only after an apply
// follows from something else.
func itemsOf(region string, changes []Change, values func(AttributeChange) (want, found string)) []DriftItem {
	var out []DriftItem
	for _, c := range changes {
		if strings.HasPrefix(c.Address, "output.") {
			continue
		}
		item := DriftItem{Kind: DriftChanged, Region: region, Subject: c.Address, DataBearing: c.DataBearing}
		switch c.Action {
		case ActionCreate:
			item.Kind = DriftGone
		case ActionDelete, ActionForget:
			item.Kind = DriftExtra
		case ActionUpdate, ActionReplace:
			item.Replaces = c.Action == ActionReplace
			if parts := attributesOf(item, c, values); len(parts) > 0 {
				out = append(out, parts...)
				continue
			}
		default:
			continue
		}
		out = append(out, item)
	}
	return out
}

// attributesOf are the attributes of an update or a replacement that move, each told once; of a replacement, those that force it where they are
// known.
func attributesOf(item DriftItem, c Change, values func(AttributeChange) (want, found string)) []DriftItem {
	forced := slices.ContainsFunc(c.Attributes, func(a AttributeChange) bool { return a.Forces && !a.Unknown })
	var out []DriftItem
	for _, a := range c.Attributes {
		if a.Unknown || a.Echo || item.Replaces && forced && !a.Forces {
			continue
		}
		part := item
		part.Path, part.Sensitive = a.Path, a.Sensitive
		if !a.Sensitive {
			part.Want, part.Found = values(a)
		}
		out = append(out, part)
	}
	return out
}

func sortDrift(items []DriftItem) {
	slices.SortStableFunc(items, func(a, b DriftItem) int { return strings.Compare(a.Key(), b.Key()) })
}

// DriftRule is what a person said of drift beside the spec: a pattern that is none, or one key that is none as long as its value is this one.
type DriftRule struct {
	Pattern string
	By      string
	// Accept says that only the value Found of the item was accepted; Kind is the item's.
	Accept bool
	Kind   DriftKind
	Found  string
}

// JudgeDrift marks what is no drift by the spec's patterns and by what people said, and counts what is left; in order of key. It is pure.
func JudgeDrift(items []DriftItem, ignore []string, rules []DriftRule) (out []DriftItem, left int) {
	out = slices.Clone(items)
	sortDrift(out)
	for i, item := range slices.Clone(out) {
		key := item.Key()
		out[i].Ignored, out[i].Accepted = "", false
		for _, p := range ignore {
			if MatchDrift(p, key) {
				out[i].Ignored = "the spec"
			}
		}
		for _, r := range rules {
			switch {
			case out[i].Ignored != "":
			case r.Accept && r.Pattern == key && r.Kind == item.Kind && r.Found == item.Found && !item.Sensitive:
				out[i].Ignored, out[i].Accepted = r.By, true
			case !r.Accept && MatchDrift(r.Pattern, key):
				out[i].Ignored = r.By
			}
		}
		if out[i].Ignored == "" {
			left++
		}
	}
	return out, left
}

// DriftPrint is a fingerprint of what is drift among the items: the same for the same drift, whatever the lag is just now.
func DriftPrint(items []DriftItem) string {
	var lines []string
	for _, i := range items {
		if i.Ignored != "" {
			continue
		}
		line := string(i.Kind) + "\x00" + i.Key()
		if i.Path != "" {
			line += "\x00" + i.Found
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\x01")))
	return hex.EncodeToString(sum[:8])
}
