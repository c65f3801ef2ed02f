package aws

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"meridian/providers"
	"meridian/providers/aws/rdsfake"
)

// TestStatusesAreTotal holds every documented status, of instances and clusters, against what it must mean.
func TestStatusesAreTotal(t *testing.T) {
	for name, c := range map[string]struct {
		have     map[string]meaning
		ready    []string
		failed   []string
		pendings int
	}{
		"instances": {
			instanceStatuses,
			[]string{"available", "storage-config-upgrade", "storage-initialization", "storage-optimization"},
			[]string{"deleting", "failed", "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable", "incompatible-create",
				"incompatible-credentials", "incompatible-network", "incompatible-option-group", "incompatible-parameters", "incompatible-restore",
				"insufficient-capacity", "restore-error", "stopped", "storage-full", "unsupported-configuration", "upgrade-failed"},
			17,
		},
		"clusters": {
			clusterStatuses,
			[]string{"available", "storage-optimization"},
			[]string{"cloning-failed", "deleting", "failed", "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable",
				"incompatible-network", "incompatible-parameters", "incompatible-restore", "migration-failed", "restore-failed", "stopped"},
			18,
		},
	} {
		t.Run(name, func(t *testing.T) {
			by := map[providers.ReadyState][]string{}
			for _, status := range slices.Sorted(maps.Keys(c.have)) {
				m := means(c.have, status)
				by[m.state] = append(by[m.state], status)
				if m.why == "" && status != "available" {
					t.Errorf("%s says no reason", status)
				}
			}
			if !slices.Equal(by[providers.StateReady], c.ready) || !slices.Equal(by[providers.StateFailed], c.failed) || len(by[providers.StatePending]) != c.pendings {
				t.Errorf("ready %q\nfailed %q\n%d pending %q", by[providers.StateReady], by[providers.StateFailed], len(by[providers.StatePending]), by[providers.StatePending])
			}
			m := means(c.have, "levitating")
			if m.state != providers.StatePending || !strings.Contains(m.why, `"levitating"`) {
				t.Errorf("an unknown status is %+v", m)
			}
		})
	}
}

func TestControlPlane(t *testing.T) {
	t.Parallel()
	fake, p := newFake(t)
	for name, c := range map[string]struct {
		instance func(*rdsfake.Instance)
		absent   bool
		state    providers.ReadyState
		percent  int
		says     string
	}{
		"available": {func(*rdsfake.Instance) {}, false, providers.StateReady, 0, "is available"},
		"absent":    {nil, true, providers.StatePending, 0, "shows no database " + "default-orders-k3m9x2pq-here"},
		"creating": {func(i *rdsfake.Instance) {
			i.Status, i.Events = "creating", []string{"started", "Backing up DB instance"}
		}, false, providers.StatePending, 0, "UTC: Backing up DB instance"},
		"with percent":   {func(i *rdsfake.Instance) { i.Status, i.Percent = "modifying", "40" }, false, providers.StatePending, 40, "is modifying (40 %)"},
		"optimizing":     {func(i *rdsfake.Instance) { i.Status = "storage-optimization" }, false, providers.StateReady, 0, "being optimized"},
		"unknown":        {func(i *rdsfake.Instance) { i.Status = "levitating" }, false, providers.StatePending, 0, `"levitating"`},
		"storage full":   {func(i *rdsfake.Instance) { i.Status = "storage-full" }, false, providers.StateFailed, 0, "raise settings.storage"},
		"no key":         {func(i *rdsfake.Instance) { i.Status = "inaccessible-encryption-credentials-recoverable" }, false, providers.StateFailed, 0, "within seven days"},
		"bad parameters": {func(i *rdsfake.Instance) { i.Status = "incompatible-parameters" }, false, providers.StateFailed, 0, "spec.engine.parameters"},
		"failed":         {func(i *rdsfake.Instance) { i.Status, i.Events = "failed", []string{"the host is lost"} }, false, providers.StateFailed, 0, "the host is lost"},
		"waits":          {func(i *rdsfake.Instance) { i.PendingClass = "db.m7g.large" }, false, providers.StateReady, 0, "maintenance window: class db.m7g.large"},
		"replicates":     {func(i *rdsfake.Instance) { i.Replication = "replicating" }, false, providers.StateReady, 0, "is available"},
		"stands still":   {func(i *rdsfake.Instance) { i.Replication = "error" }, false, providers.StatePending, 0, "the source sends nothing"},
		"ended":          {func(i *rdsfake.Instance) { i.Replication = "terminated" }, false, providers.StateFailed, 0, "read replication is terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			in := region(func(in *providers.ModuleInput) { in.Region.Location = "eu-" + strings.ReplaceAll(name, " ", "") + "-1" })
			if !c.absent {
				i := instance(c.instance)
				i.Region = in.Region.Location
				fake.Put(i)
			}
			st, err := p.ControlPlane(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if st.State != c.state || st.Percent != c.percent || !strings.Contains(st.Message, c.says) {
				t.Errorf("%+v", st)
			}
			if strings.Contains(st.Message, "****") {
				t.Errorf("a password's place is told: %s", st.Message)
			}
			progress, err := p.ApplyProgress(t.Context(), in)
			if err != nil || (progress == "") != c.absent {
				t.Errorf("progress %q, %v", progress, err)
			}
		})
	}
}

// TestTroubleOfTheCloudIsTransient holds that no throttling, 5xx, time-out or cut connection fails a region for good.
func TestTroubleOfTheCloudIsTransient(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]rdsfake.Fault{
		"throttled":           {Status: 400, Code: "Throttling", Message: "Rate exceeded"},
		"request limit":       {Status: 503, Code: "RequestLimitExceeded", Message: "Rate exceeded"},
		"internal failure":    {Status: 500, Code: "InternalFailure", Message: "An internal error has occurred"},
		"unavailable":         {Status: 503, Code: "ServiceUnavailable", Message: "try again"},
		"expired request":     {Status: 400, Code: "RequestExpired", Message: "Request has expired"},
		"cut after the work":  {AfterCommit: true},
		"nothing is answered": {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			fake.Put(instance())
			ctx := t.Context()
			if fault.Hang {
				var stop context.CancelFunc
				ctx, stop = context.WithTimeout(ctx, 300*time.Millisecond)
				defer stop()
			}
			lasting := fault
			if !fault.Hang && name != "expired request" { // those are not tried again within one look
				lasting.Times = callAttempts
				fake.Fail("DescribeDBInstances", fault)
				if st, err := p.ControlPlane(ctx, region()); err != nil || st.State != providers.StateReady {
					t.Errorf("after one fault: %+v, %v", st, err)
				}
			}
			fake.Fail("DescribeDBInstances", lasting)
			if _, err := p.ControlPlane(ctx, region()); err == nil || errors.Is(err, providers.ErrPermanent) || errors.Is(err, providers.ErrForeign) {
				t.Errorf("after so many faults that a look gives up: %v", err)
			}
			if st, err := p.ControlPlane(t.Context(), region()); err != nil || st.State != providers.StateReady {
				t.Errorf("the next look: %+v, %v", st, err)
			}
		})
	}
}

// TestRejectedCredentials holds that what only a person can mend fails at once with what to do, and that it goes on after that.
func TestRejectedCredentials(t *testing.T) {
	t.Parallel()
	for code := range credentialCodes {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			fake.Put(instance())
			fake.Refuse("AKIAGOOD", code)
			for what, look := range map[string]func() error{
				"preflight":     func() error { return p.Preflight(t.Context(), region()) },
				"control plane": func() error { _, err := p.ControlPlane(t.Context(), region()); return err },
			} {
				err := look()
				if !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), credentialCodes[code]+", then apply again") {
					t.Errorf("%s: %v", what, err)
				}
				if err != nil && (strings.Contains(err.Error(), "verysecret") || strings.Contains(err.Error(), "Signature=")) {
					t.Errorf("%s tells a secret: %v", what, err)
				}
			}
			fake.Refuse("AKIAGOOD", "")
			if err := p.Preflight(t.Context(), region()); err != nil {
				t.Errorf("once renewed: %v", err)
			}
			if st, err := p.ControlPlane(t.Context(), region()); err != nil || st.State != providers.StateReady {
				t.Errorf("once renewed: %+v, %v", st, err)
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*rdsfake.Fake)
		in      providers.ModuleInput
		fails   string
	}{
		"the right account":   {in: region()},
		"another account":     {prepare: func(f *rdsfake.Fake) { f.SetAccount("210987654321") }, in: region(), fails: "is in AWS account " + rdsfake.Account + ", and the credentials are of account 210987654321"},
		"a role":              {in: region(withRole("arn:aws:iam::123456789012:role/meridian", "1h"))},
		"too long a session":  {in: region(withRole("arn:aws:iam::123456789012:role/meridian", "6h")), fails: "MaxSessionDuration"},
		"a role not for us":   {in: region(withRole("arn:aws:iam::123456789012:role/forbidden", "1h")), fails: "a permission is missing"},
		"settings of nothing": {in: region(func(in *providers.ModuleInput) { in.Region.Settings = nil }), fails: "account is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, p := newFake(t)
			if c.prepare != nil {
				c.prepare(fake)
			}
			err := p.Preflight(t.Context(), c.in)
			switch {
			case c.fails == "" && err != nil:
				t.Error(err)
			case c.fails != "" && (!errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("%v", err)
			}
		})
	}
}

// TestNoCredentials holds that a machine without any is told so, at once.
func TestNoCredentials(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true", "HOME": t.TempDir(),
		"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "",
	} {
		t.Setenv(name, value)
	}
	fake, _ := newFake(t)
	p := New(Config{Installation: installation, SDK: []func(*config.LoadOptions) error{config.WithBaseEndpoint(fake.URL())}})
	err := p.Preflight(t.Context(), region())
	if !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "no credentials were found: give AWS_ACCESS_KEY_ID") {
		t.Error(err)
	}
}

// TestSessionsAreShared holds that a role is taken once for many looks, and that all databases of an account share its limits.
func TestSessionsAreShared(t *testing.T) {
	t.Parallel()
	fake, p := newFake(t)
	fake.Put(instance())
	role := withRole("arn:aws:iam::123456789012:role/meridian", "1h")
	for range 5 {
		if err := p.Preflight(t.Context(), region(role)); err != nil {
			t.Fatal(err)
		}
	}
	if n := fake.Count("AssumeRole"); n != 1 {
		t.Errorf("the role was taken %d times", n)
	}
	a, err := accessOf(region(role))
	if err != nil {
		t.Fatal(err)
	}
	if got := (access{rdsfake.Account, here, "arn:aws:iam::123456789012:role/meridian", "", time.Hour}); a != got {
		t.Errorf("access %+v", a)
	}
	other, err := accessOf(region(func(in *providers.ModuleInput) { in.Region.Location = "us-east-1" }))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []access{a, other} {
		if _, err := p.sessions.of(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.sessions.made) != 2 || len(p.sessions.limits) != 1 {
		t.Errorf("%d sessions, %d limits: one account has one", len(p.sessions.made), len(p.sessions.limits))
	}
}

// TestTheRateIsLimited asks far more than an account allows at once, from two regions: the rest has to wait.
func TestTheRateIsLimited(t *testing.T) {
	t.Parallel()
	fake, p := newFake(t)
	fake.Put(instance())
	ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer stop()
	answers := make(chan error, 4*callsAtOnce)
	for n := range cap(answers) {
		in := region(func(in *providers.ModuleInput) { in.Region.Location = []string{here, "us-east-1"}[n%2] })
		go func() {
			_, err := p.ControlPlane(ctx, in)
			answers <- err
		}()
	}
	waited := 0
	for range cap(answers) {
		if err := <-answers; err != nil {
			waited++
			if errors.Is(err, providers.ErrPermanent) {
				t.Errorf("a call that has to wait fails for good: %v", err)
			}
		}
	}
	if asked := len(fake.Calls()); asked > callsAtOnce+callsPerSecond || waited < 2*callsAtOnce {
		t.Errorf("%d calls came through at once, %d had to wait", asked, waited)
	}
}
