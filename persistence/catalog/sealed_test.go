package catalog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/keyring"
	"meridian/persistence/store"
	"meridian/persistence/store/storetest"
	"meridian/stacks"
)

// journalTables are sealed by the journal, whose own test covers them.
var journalTables = []string{"steps", "results", "events", "states", "artifacts"}

// fill puts words into every row that seals some, and returns those words and a function that reads them all back.
func (h *house) fill(word func(string) string) (readBack func(c *catalog.Catalog)) {
	h.t.Helper()
	ctx := h.t.Context()
	_, err := h.Installation(ctx)
	h.must(err)
	r := h.submit(spec("orders", "15"), 0)
	inc := r.Incarnation
	h.plan(r.ID, "")
	h.must(h.UpdateRegion(ctx, r.ID, "ankara", func(x catalog.RunRegion) catalog.RunRegion {
		x.Message = word("region message")
		x.Changes = []stacks.Change{{Address: "a", Attributes: []stacks.AttributeChange{{Path: "p", After: word("change")}}}}
		return x
	}))
	_, err = h.MoveRun(ctx, r.ID, catalog.Move{
		From: stacks.PhaseAwaiting, To: stacks.PhaseFailed, Message: word("run message"), Diagnostics: []stacks.Diagnostic{{Detail: word("diagnostic")}},
	})
	h.must(err)
	h.must(h.PutEndpoint(ctx, stackOf(inc, "ankara"), stacks.Endpoint{Host: word("endpoint")}))
	h.must(h.PutLink(ctx, catalog.Link{Incarnation: inc, Name: "a-b", Message: word("link")}))
	h.must(h.EnsureSecret(ctx, inc, "user/app"))
	module := stacks.NewPackage(stacks.Package{Dir: word("module")})
	h.must(h.PutPackage(ctx, module))
	secret, err := h.Secret(ctx, inc, "user/app")
	h.must(err)
	h.must(h.AppendLog(ctx, catalog.LogLine{Run: r.ID, Part: "ankara", Level: "INFO", Text: word("log")}))
	check := h.fillDrift(inc, word)
	return func(c *catalog.Catalog) {
		h.t.Helper()
		_, err := c.Installation(ctx)
		h.must(err)
		got, err := c.Run(ctx, r.ID)
		h.must(err)
		e, err := c.Endpoint(ctx, stackOf(inc, "ankara"))
		h.must(err)
		links, err := c.Links(ctx, inc)
		h.must(err)
		s, err := c.Secret(ctx, inc, "user/app")
		h.must(err)
		log, err := c.LastLog(ctx, r.ID, "ankara")
		h.must(err)
		parts, err := c.DriftParts(ctx, check)
		h.must(err)
		rules, err := c.DriftRules(ctx, inc)
		h.must(err)
		ended, err := c.LastDrift(ctx, inc)
		h.must(err)
		p, err := c.Package(ctx, module.Digest)
		h.must(err)
		for what, pair := range map[string][2]string{
			"region message": {got.Regions[0].Message, word("region message")}, "change": {got.Regions[0].Changes[0].Attributes[0].After, word("change")},
			"run message": {got.Message, word("run message")}, "diagnostic": {got.Diagnostics[0].Detail, word("diagnostic")},
			"endpoint": {e.Host, word("endpoint")}, "link": {links[0].Message, word("link")}, "secret": {s, secret}, "log": {log.Text, word("log")},
			"drift of a part": {parts[0].Drift[0].Found, word("drift of a part")}, "accepted drift": {rules[0].Found, word("accepted drift")},
			"drift":  {ended.Drift[0].Found, word("drift")},
			"module": {p.Dir, word("module")},
		} {
			if pair[0] != pair[1] {
				h.t.Errorf("the %s did not come back", what)
			}
		}
	}
}

// fillDrift stores a check that has ended, and one at work, whose ID it returns, with a part; and a rule.
func (h *house) fillDrift(incarnation string, word func(string) string) (atWork string) {
	h.t.Helper()
	ctx := h.t.Context()
	h.must(h.PutDriftRule(ctx, incarnation, catalog.DriftRule{DriftRule: stacks.DriftRule{Pattern: "ankara: *", By: "ada", Accept: true, Found: word("accepted drift")}}))
	ended, err := h.BeginDrift(ctx, catalog.DriftCheck{Incarnation: incarnation, Reason: catalog.DriftScheduled})
	h.must(err)
	ended.Outcome, ended.Drift = catalog.DriftDrifted, []stacks.DriftItem{{Found: word("drift")}}
	h.must(h.EndDrift(ctx, ended))
	check, err := h.BeginDrift(ctx, catalog.DriftCheck{Incarnation: incarnation, Reason: catalog.DriftScheduled})
	h.must(err)
	h.must(h.PutDriftPart(ctx, check.ID, catalog.DriftPart{Part: "ankara", Outcome: catalog.DriftDrifted, Drift: []stacks.DriftItem{{Found: word("drift of a part")}}}))
	return check.ID
}

func TestNothingSealedLiesInClear(t *testing.T) {
	storetest.SQLiteOnly(t)
	h := newHouse(t)
	words := map[string]string{}
	h.fill(func(what string) string {
		words[what] = "planted-" + base64.StdEncoding.EncodeToString([]byte(what)) + "-planted"
		return words[what]
	})
	secret, err := h.Secret(t.Context(), h.db("orders").Incarnation, "user/app")
	h.must(err)
	words["secret"] = secret
	all := h.searched()
	if !bytes.Contains(all, []byte("kind: Database")) {
		t.Fatal("the search does not see what is in clear: it proves nothing")
	}
	for what, word := range words {
		raw := []byte(word)
		for form, b := range map[string][]byte{
			"clear": raw, "hex": []byte(hex.EncodeToString(raw)), "HEX": bytes.ToUpper([]byte(hex.EncodeToString(raw))),
			"base64": []byte(base64.StdEncoding.EncodeToString(raw)[:len(raw)*4/3-4]), "base64url": []byte(base64.URLEncoding.EncodeToString(raw)[:len(raw)*4/3-4]),
		} {
			if bytes.Contains(all, b) {
				t.Errorf("the %s lies in the store in %s", what, form)
			}
		}
	}
}

func TestRotationOpensEverythingAfterTheOldKeyIsGone(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	readBack := h.fill(func(what string) string { return what + " word" })
	h.everySealedTableIsFilled()
	old := h.keys.Prefix()
	_, err := h.keys.Rotate()
	h.must(err)
	used, err := h.st.SealedPrefixes(ctx, keyring.PrefixLen)
	h.must(err)
	if _, err := h.keys.Retire(used, 0); !errors.Is(err, keyring.ErrInUse) {
		t.Fatalf("a key in use was retired: %v", err)
	}
	h.must(h.Reseal(ctx))
	h.must(h.Reseal(ctx))
	used, err = h.st.SealedPrefixes(ctx, keyring.PrefixLen)
	h.must(err)
	if len(used) != 1 || !bytes.Equal(used[0], h.keys.Prefix()) || bytes.Equal(used[0], old) {
		t.Fatalf("keys in use %q", used)
	}
	_, err = h.keys.Retire(used, 0)
	h.must(err)
	fresh, err := keyring.Open(keyring.Source{Dir: h.dir}, false)
	h.must(err)
	if ids := fresh.IDs(); len(ids) != 1 || ids[0] == string(old[1:]) {
		t.Fatalf("the ring holds %q", ids)
	}
	readBack(catalog.New(h.openStore(), fresh))
}

func (h *house) everySealedTableIsFilled() {
	h.t.Helper()
	tables, err := h.st.SealedTables(h.t.Context())
	h.must(err)
	for _, name := range tables {
		if slices.Contains(journalTables, name) {
			continue
		}
		var n int
		h.must(h.st.Read(h.t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow("SELECT count(*) FROM " + name + " WHERE sealed IS NOT NULL").Scan(&n)
		}))
		if n == 0 {
			h.t.Errorf("table %s has no sealed row: the test proves nothing about it", name)
		}
	}
}

func TestRunLog(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	add := func(part, text string) {
		t.Helper()
		h.must(h.AppendLog(ctx, catalog.LogLine{Run: "r-1", Part: part, Level: "WARN", Text: text}))
	}
	before := time.Now().UnixNano()
	add("ankara", "throttled")
	add("istanbul", "throttled")
	add("ankara", "throttled") // said already
	add("ankara", "ready")
	h.must(h.AppendLog(ctx, catalog.LogLine{Run: "r-2", Text: "another run"}))
	lines, err := h.LogLines(ctx, "r-1", before-int64(time.Second))
	h.must(err)
	var got []string
	for _, l := range lines {
		got = append(got, l.Part+" "+l.Text)
	}
	if !slices.Equal(got, []string{"ankara throttled", "istanbul throttled", "ankara ready"}) {
		t.Fatalf("log %q", got)
	}
	if later, err := h.LogLines(ctx, "r-1", time.Now().UnixNano()); err != nil || len(later) != 0 {
		t.Fatalf("log %+v, %v", later, err)
	}
	if last, err := h.LastLog(ctx, "r-1", "ankara"); err != nil || last.Text != "ready" || last.Level != "WARN" {
		t.Fatalf("last line %+v, %v", last, err)
	}
	if none, err := h.LastLog(ctx, "r-1", "izmir"); err != nil || none.Text != "" {
		t.Fatalf("last line of nothing %+v, %v", none, err)
	}
}

// TestPayloadsSince: what is noted once stays as it was noted first.
func TestPayloadsSince(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	if since, err := h.PayloadsSince(ctx); err != nil || !since.IsZero() {
		t.Fatalf("before anything was sealed: %s, %v", since, err)
	}
	h.must(h.NotePayloads(ctx))
	first, err := h.PayloadsSince(ctx)
	h.must(err)
	h.must(h.NotePayloads(ctx))
	if again, err := h.PayloadsSince(ctx); err != nil || first.IsZero() || !again.Equal(first) {
		t.Errorf("noted at %s, then at %s, %v", first, again, err)
	}
}
