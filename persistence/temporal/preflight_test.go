package temporal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/persistence/temporal/tlstest"
)

// wantFindings wants a finding with a state and a text for each check, and no other that is not ok.
func wantFindings(t *testing.T, found []Finding, want map[string][2]string) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range found {
		w, ok := want[f.Check]
		switch {
		case ok && f.State == w[0] && strings.Contains(f.What, w[1]):
			seen[f.Check] = true
		case f.State != FindingOK:
			t.Errorf("%s: %s %s", f.Check, f.State, f.What)
		}
		if f.State != FindingOK && f.Next == "" {
			t.Errorf("%s does not say what to do", f.Check)
		}
	}
	for check := range want {
		if !seen[check] {
			t.Errorf("nothing says %v of %s: %+v", want[check], check, found)
		}
	}
}

// TestPreflightOfCertificates tells certificates that end soon or are none.
func TestPreflightOfCertificates(t *testing.T) {
	t.Parallel()
	a := tlstest.New(t) // its certificates are good for an hour
	cert, key := a.Issue("client")
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, test := range map[string]struct {
		tls         TLS
		at          time.Time
		state, want string
	}{
		"ends soon":       {TLS{Cert: cert, Key: key}, now, FindingWarn, "ends on"},
		"has ended":       {TLS{Cert: cert, Key: key}, now.Add(2 * time.Hour), FindingFail, "ended on"},
		"good":            {TLS{CA: a.CA}, now.AddDate(0, -1, 0), FindingOK, "is good until"},
		"no certificate":  {TLS{CA: none}, now, FindingFail, "holds no certificate"},
		"a file too few":  {TLS{CA: none + "x"}, now, FindingFail, "no such file"},
		"a key elsewhere": {TLS{Cert: cert, Key: none}, now, FindingFail, "tls.cert and tls.key"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Settings{External: &External{TLS: &test.tls}}
			wantFindings(t, certificateFindings(&s, test.at), map[string][2]string{"certificates": {test.state, test.want}})
		})
	}
}

// TestPreflightOfNothing says of settings that name nothing that Temporal is in the data directory, and of wrong ones what is wrong.
func TestPreflightOfNothing(t *testing.T) {
	t.Parallel()
	wantFindings(t, Preflight(t.Context(), Options{Dir: t.TempDir()}), map[string][2]string{
		"temporal state": {FindingOK, FileName}, "temporal ports": {FindingOK, "free"},
	})
	wantFindings(t, Preflight(t.Context(), Options{Settings: Settings{Store: "mysql"}}), map[string][2]string{"temporal": {FindingFail, "unknown store"}})
	s := Settings{Store: StoreCassandra, Cassandra: &Cassandra{Hosts: []string{"127.0.0.1"}, Port: 1}}
	wantFindings(t, Preflight(t.Context(), Options{Settings: s}), map[string][2]string{"temporal state": {FindingFail, "no node of the cluster can be reached"}})
	s = Settings{External: &External{Address: "127.0.0.1:1", Namespace: "n"}}
	wantFindings(t, Preflight(t.Context(), Options{Settings: s}), map[string][2]string{"temporal": {FindingFail, "cannot be reached"}})
}
