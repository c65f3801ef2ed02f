package temporal

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// Finding is what a preflight says of one thing.
type Finding struct {
	// Check is what was looked at, like "temporal state".
	Check string
	// State is FindingOK, FindingWarn (a server starts all the same) or FindingFail.
	State string
	What  string
	// Next is what to do, where something is to be done.
	Next string
}

// The states of a finding.
const (
	FindingOK   = "ok"
	FindingWarn = "warn"
	FindingFail = "fail"
)

// Preflight looks at everything that a server with these options needs of its store, and of the server of somebody else where settings name
// one. It makes and changes nothing, so that it may be asked while a server runs there.
func Preflight(ctx context.Context, o Options) []Finding {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler) // what a driver has to say is in the findings
	}
	s := &o.Settings
	if faults := s.Check(); len(faults) > 0 {
		return []Finding{{Check: "temporal", State: FindingFail, What: faults[0].Error(), Next: "mend the settings: docs/persistence.md describes them"}}
	}
	out := certificateFindings(s, time.Now())
	if s.External != nil {
		return append(out, externalFinding(ctx, o))
	}
	places := placesOf(s)
	if len(places) == 0 {
		out = append(out, Finding{Check: "temporal state", State: FindingOK, What: FileName + " in the data directory"})
	}
	for _, t := range places {
		out = append(out, placeFindings(ctx, t, s.Shards)...)
	}
	return append(out, portFinding())
}

func portFinding() Finding {
	f := Finding{Check: "temporal ports", State: FindingOK, What: "loopback ports are free"}
	if _, err := freePorts(); err != nil {
		f.State, f.What, f.Next = FindingFail, err.Error(), "end what holds so many ports of "+loopback
	}
	return f
}

// placeFindings looks at one schema as a start would.
func placeFindings(ctx context.Context, t schemaPlace, shards int) []Finding {
	f := Finding{Check: "temporal " + t.what(), State: FindingOK}
	db, err := t.connect(ctx)
	if err != nil {
		f.State, f.What, f.Next = FindingFail, t.where()+": "+err.Error(), "mend that: a server would not start"
		return []Finding{f}
	}
	defer db.Close()
	s, err := db.examine(ctx)
	if err != nil {
		f.State, f.What, f.Next = FindingFail, t.where()+": "+err.Error(), "mend that: a server would not start"
		return []Finding{f}
	}
	switch s.State {
	case StateCurrent:
		f.What = fmt.Sprintf("%s: schema %s", t.where(), s.Version)
	case StateAbsent, StatePartial:
		f.What = t.where() + ": empty; the first start sets it up"
		if err := db.safe(ctx); err != nil {
			f.State, f.What, f.Next = FindingFail, t.where()+": it cannot be set up now: "+err.Error(), "mend that: a server would not start"
		}
	default:
		if err := s.usable(); err != nil {
			f.State, f.What, f.Next = FindingFail, t.where()+": "+err.Error(), "do that: a server would not start"
		} else {
			f.What = fmt.Sprintf("%s: schema %s, of a newer meridian, is good for this one", t.where(), s.Version)
		}
	}
	out := []Finding{f}
	if s.State == StateCurrent {
		out = append(out, db.findings(ctx, shards)...)
	}
	return out
}

// storeFindings looks at what is in a schema that is whole: its number of shards, and the nodes of its cluster.
func storeFindings(ctx context.Context, t target, db schemaDB, want int) (out []Finding) {
	if counter, ok := db.(shardCounter); ok && t.what() == "state" {
		have, err := counter.shards(ctx)
		switch {
		case err != nil:
			out = append(out, Finding{Check: "temporal shards", State: FindingWarn, What: err.Error(), Next: "look at the store's own log"})
		case have > 0 && want > 0 && have != want:
			out = append(out, Finding{
				Check: "temporal shards", State: FindingWarn, What: fmt.Sprintf("the store was set up with %d shards, the settings say %d: the store's number stays", have, want),
				Next: fmt.Sprintf("say shards: %d; to have another number, name an empty schema or keyspace: the catalog brings everything back", have),
			})
		case have > 0:
			out = append(out, Finding{Check: "temporal shards", State: FindingOK, What: fmt.Sprint(have)})
		}
	}
	if _, ok := db.(*cassandraSchema); ok {
		f := Finding{Check: "temporal nodes", State: FindingOK, What: "every node answers, and all agree on the schema"}
		if err := db.safe(ctx); err != nil {
			f.State, f.What, f.Next = FindingWarn, err.Error(), "a server runs without it while enough copies are up; the schema is not upgraded until it is back"
		}
		out = append(out, f)
	}
	return out
}

// externalFinding looks at a server that somebody else runs.
func externalFinding(ctx context.Context, o Options) Finding {
	e := o.Settings.External
	f := Finding{Check: "temporal", State: FindingOK, What: fmt.Sprintf("%s answers, and has namespace %s", e.Address, e.Namespace)}
	fail := func(err error) Finding {
		return Finding{Check: "temporal", State: FindingFail, What: err.Error(), Next: "mend that: a server would not start"}
	}
	ctx, cancel := context.WithTimeout(ctx, externalTimeout)
	defer cancel()
	options, err := externalOptions(&o)
	if err != nil {
		return fail(err)
	}
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return fail(explainExternal(e, err))
	}
	defer c.Close()
	if _, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: e.Namespace}); err != nil {
		return fail(explainExternal(e, err))
	}
	for name := range attributes() {
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: e.Namespace, Query: name + " = ''"})
		if err != nil {
			f.State, f.What = FindingWarn, fmt.Sprintf("namespace %s lacks search attribute %s", e.Namespace, name)
			f.Next = "the first start adds it where it may; else `temporal operator search-attribute create`, or Temporal Cloud's namespace settings"
			break
		}
	}
	return f
}

// expiresSoon is when a certificate's end is worth a word.
const expiresSoon = 14 * 24 * time.Hour

// certificateFindings looks at the certificates that settings name: those that end soon, or are no certificates.
func certificateFindings(s *Settings, now time.Time) (out []Finding) {
	for _, t := range []*TLS{tlsOf(s.Cassandra), tlsOfLists(s.Visibility), tlsOfExternal(s.External)} {
		if t == nil {
			continue
		}
		if _, err := t.config(); err != nil {
			out = append(out, Finding{Check: "certificates", State: FindingFail, What: err.Error(), Next: "name files with a PEM certificate and its key, which the server's user can read"})
			continue
		}
		for _, path := range []string{t.CA, t.Cert} {
			if path != "" {
				out = append(out, certificateFinding(path, now))
			}
		}
	}
	return out
}

func tlsOf(c *Cassandra) *TLS {
	if c == nil {
		return nil
	}
	return c.TLS
}

func tlsOfLists(v *Visibility) *TLS {
	if v == nil || v.Elasticsearch == nil {
		return nil
	}
	return v.Elasticsearch.TLS
}

func tlsOfExternal(e *External) *TLS {
	if e == nil {
		return nil
	}
	return e.TLS
}

// certificateFinding says when the first certificate of a file ends.
func certificateFinding(path string, now time.Time) Finding {
	f := Finding{Check: "certificates", State: FindingOK}
	end, err := certificateEnd(path)
	switch {
	case err != nil:
		f.State, f.What, f.Next = FindingFail, err.Error(), "name a file with a PEM certificate"
	case end.Before(now):
		f.State, f.What, f.Next = FindingFail, fmt.Sprintf("%s ended on %s", path, end.Format(time.DateOnly)), "put a new one into its place"
	case end.Before(now.Add(expiresSoon)):
		f.State, f.What, f.Next = FindingWarn, fmt.Sprintf("%s ends on %s", path, end.Format(time.DateOnly)), "put a new one into its place before; it is read at each handshake"
	default:
		f.What = fmt.Sprintf("%s is good until %s", path, end.Format(time.DateOnly))
	}
	return f
}

func certificateEnd(path string) (time.Time, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return time.Time{}, errors.New(path + " holds no certificate")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", path, err)
	}
	return c.NotAfter, nil
}
