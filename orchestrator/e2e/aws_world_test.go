package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"meridian/orchestrator"
	"meridian/providers"
	"meridian/providers/aws"
	"meridian/providers/aws/mototest"
	"meridian/providers/engines/mysql/mariadbtest"
	"meridian/providers/local/machine"
	pgserver "meridian/providers/local/server"
	"meridian/stacks"
	"meridian/stacks/terraform/launch"
)

// The AWS regions of these stories.
const frankfurt, virginia = "eu-central-1", "us-east-1"

// awsPatience is what a story of AWS may wait for one thing: the provider hashicorp/aws waits 80 s for each create and for each change, whatever
// AWS says.
const awsPatience = 9 * time.Minute

// awsWorld is an emulated AWS whose databases are real: what the emulator calls an instance is a PostgreSQL of this machine, and what it calls
// a read replica a standby of that.
type awsWorld struct {
	*mototest.World // nil on an account of AWS itself
	site            *site
	m               *meridian
	cloud           *aws.Provider

	mu    sync.Mutex
	real  map[string]pgserver.Spec // by the stack
	where map[string]stacks.Endpoint
	maria map[string]*mariadbtest.Server
	// imported says, by the identifier, where an instance answers that was there before Meridian.
	imported map[string]stacks.Endpoint
}

// newAWS makes a site with an AWS of its own. Without the provider hashicorp/aws on this machine, or without the emulator, the test is skipped.
func newAWS(t *testing.T) *awsWorld {
	t.Helper()
	plugin := stacks.ProviderRequirement{LocalName: "aws", Source: "hashicorp/aws", Version: aws.PluginVersion}
	if len(launch.ExistingMirrors(os.Environ(), []stacks.ProviderRequirement{plugin})) == 0 {
		t.Skip("SKIPPED: the provider hashicorp/aws " + plugin.Version + " is in no mirror of this machine")
	}
	s := newSite(t)
	s.patience = awsPatience
	w := &awsWorld{World: mototest.Start(t, frankfurt, virginia), site: s, real: map[string]pgserver.Spec{}, where: map[string]stacks.Endpoint{},
		maria: map[string]*mariadbtest.Server{}}
	s.env = w.Env()
	s.more = func(m *meridian, installation string) []providers.Provider {
		w.m, w.cloud = m, aws.New(aws.Config{Installation: installation, SDK: w.SDK(), Reach: w.reach})
		return []providers.Provider{w.cloud}
	}
	s.start()
	return w
}

// reach makes the real database of an instance, once, and says where it is.
func (w *awsWorld) reach(in providers.ModuleInput, e stacks.Endpoint) (stacks.Endpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx := context.Background()
	id := in.Stack.String()
	if there, ok := w.imported[in.Placement.Values["identifier"]]; ok {
		e.Host, e.Port, e.TLSMode = there.Host, there.Port, "disable"
		return e, nil
	}
	if there, ok := w.where[id]; ok && in.Database.Spec.Engine.Name == aws.EnginePostgres {
		return there, nil
	}
	password, err := w.m.catalog.Secret(ctx, in.Stack.Incarnation, e.Secret)
	if err != nil {
		return e, err
	}
	if in.Database.Spec.Engine.Name != aws.EnginePostgres {
		return w.mariaReach(in, e, password)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return e, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	spec := pgserver.Spec{
		Home: filepath.Join(w.site.data, "rds", strings.ReplaceAll(id, "/", ".")), Name: in.Stack.Region, Owner: id, Address: "127.0.0.1", Port: port,
		EngineVersion: in.Database.Spec.Engine.Version, PasswordVersion: 1,
		Settings: map[string]string{"wal_level": "logical", "wal_retrieve_retry_interval": "1s"},
	}
	if source, is := in.Database.PhysicalSource(in.Region.Name); is {
		of := in.Stack
		of.Region = source.Name
		err = w.standby(ctx, w.real[of.String()], spec, password)
	} else {
		_, err = pgserver.Ensure(ctx, spec, pgserver.Password(password))
	}
	if err != nil {
		return e, fmt.Errorf("the real database of %s: %w", id, err)
	}
	e.Host, e.Port, e.TLSMode = spec.Address, spec.Port, "disable"
	w.real[id], w.where[id] = spec, e
	return e, nil
}

// standby copies a server and lets the copy follow it.
func (w *awsWorld) standby(ctx context.Context, of, spec pgserver.Spec, password string) error {
	if of.Home == "" {
		return fmt.Errorf("its source was not made before it")
	}
	found, err := pgserver.Find(ctx)
	if err != nil {
		return err
	}
	b, err := pgserver.Resolve(found, spec.EngineVersion)
	if err != nil {
		return err
	}
	account, err := machine.RunAs()
	if err != nil {
		return err
	}
	if err := account.MakeDir(spec.Home); err != nil {
		return err
	}
	dir := filepath.Join(spec.Home, "data")
	copying := account.Command(b.Dir, b.Path("pg_basebackup"), "-D", dir, "-R", "-X", "stream", "-c", "fast", "-h", of.Address, "-p", strconv.Itoa(of.Port), "-U", pgserver.AdminUser)
	copying.Env = append(copying.Env, "PGPASSWORD="+password)
	if out, err := copying.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	options := fmt.Sprintf("-c listen_addresses=%s -c port=%d", spec.Address, spec.Port)
	if out, err := account.Command(b.Dir, b.Path("pg_ctl"), "-D", dir, "-o", options, "-l", filepath.Join(spec.Home, "log"), "-w", "start").CombinedOutput(); err != nil {
		return fmt.Errorf("pg_ctl: %w: %s", err, out)
	}
	return nil
}

// region is a region of a spec.
func (w *awsWorld) region(name, location, role string) string {
	return fmt.Sprintf(`    - name: %s
      provider: aws
      location: %s
      role: %s
      settings:
        account: %q
        network: {subnetGroup: %s, vpc: %s, allow: [10.0.0.0/16]}
        storage: {kmsKey: %q}
`, name, location, role, mototest.Account, mototest.SubnetGroup, w.Regions[location].VPC, w.Regions[location].Key)
}

// spec is the spec of database orders in these regions.
func (w *awsWorld) spec(regions, replication string) string {
	w.site.t.Helper()
	found, err := pgserver.Find(context.Background())
	if err != nil || len(found) == 0 {
		w.site.t.Skip("no PostgreSQL on this machine: .ci/postgres.sh gets one")
	}
	return fmt.Sprintf(`apiVersion: meridian/v1
kind: Database
metadata: {name: orders}
spec:
  engine: {name: postgres, version: "%d"}
  databases: [{name: orders, owner: orders_app}]
  users: [{name: orders_app}]
  regions:
%s  replication: %s
  deletion: {protect: false}
`, pgserver.Major(found[0].Version), regions, replication)
}

// killTerraforms kills every terraform and plugin of the site, and says how many there were.
func (w *awsWorld) killTerraforms() (killed int) {
	for _, pid := range w.site.processes() {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasPrefix(filepath.Base(exe), "terraform") && kill(pid) == nil {
			killed++
		}
	}
	return killed
}

// SDK are the options by which the SDK reaches this AWS: on an account of AWS itself, what the environment says.
func (w *awsWorld) SDK() []func(*config.LoadOptions) error {
	if w.World == nil {
		return nil
	}
	return w.World.SDK()
}

// must ends the story at an error of the cloud, or of Meridian.
func (w *awsWorld) must(err error) {
	w.site.t.Helper()
	if err != nil {
		w.site.t.Fatalf("%+v", err)
	}
}

// ec2 is a client of EC2 in a region.
func (w *awsWorld) ec2(location string) *ec2.Client {
	w.site.t.Helper()
	cfg, err := config.LoadDefaultConfig(context.Background(), append(w.SDK(), config.WithRegion(location))...)
	w.must(err)
	return ec2.NewFromConfig(cfg)
}

// wantReplica wants a run of which the region there follows the region here: its link is verified, a row arrives, and it takes no writes.
func (w *awsWorld) wantReplica(v orchestrator.RunView) {
	t, m := w.site.t, w.m
	t.Helper()
	if len(v.Links) != 1 || v.Links[0].Phase != "verified" || v.Links[0].LagMS <= 0 {
		t.Errorf("links = %+v, want one that is verified, with a lag", v.Links)
	}
	m.query("orders", "here", "create table parcels (id int primary key, town text)")
	m.query("orders", "here", "insert into parcels values (1, 'Frankfurt')")
	w.site.eventually("the row arrives", func() error {
		got, err := m.tryQuery("orders", "there", "select town from parcels where id = 1")
		if err == nil && got != "Frankfurt" {
			err = errNotYet
		}
		return err
	})
	if _, err := m.tryQuery("orders", "there", "insert into parcels values (2, 'Virginia')"); err == nil {
		t.Error("the second region takes writes")
	}
}

// wantUntouched wants that the same spec again changes nothing, and that so many checks find nothing.
func (w *awsWorld) wantUntouched(spec string, checks int) {
	t, m := w.site.t, w.m
	t.Helper()
	if again := m.done(spec); again.HasChanges {
		t.Errorf("the same spec again has changes: %+v", again.Changes)
	}
	for i := range checks {
		res, err := m.Submit(t.Context(), orchestrator.SubmitRequest{Documents: []orchestrator.Document{{File: "spec.yaml", Text: spec}}, Check: true, Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if check := w.site.wantDone(m, res.Runs[0].ID); check.HasChanges {
			t.Fatalf("check %d of an untouched database finds %+v", i+1, check.Changes)
		}
	}
}
