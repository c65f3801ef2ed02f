package aws

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

// chain is a database whose second region follows the first, and whose third follows the second.
func chain() stacks.Database {
	in := region()
	db := in.Database
	for _, r := range []struct{ name, location string }{{"there", "us-east-1"}, {"far", "us-gov-west-1"}} {
		next := in.Region
		next.Name, next.Location, next.Role = r.name, r.location, stacks.RoleReplica
		db.Spec.Regions = append(slices.Clone(db.Spec.Regions), next)
	}
	db.Spec.Replication.Links = []stacks.Link{{From: "here", To: "there", Mode: stacks.LinkPhysical}, {From: "there", To: "far", Mode: stacks.LinkPhysical}}
	return db
}

func callOf(t *testing.T, db stacks.Database, name string) (providers.ModuleInput, stacks.ModuleCall) {
	t.Helper()
	in := region()
	in.Database = db
	in.Region, _ = db.Region(name)
	in.Stack.Region = name
	call, err := New(Config{Installation: installation}).ModuleCall(in)
	if err != nil {
		t.Fatal(err)
	}
	return in, call
}

// TestReplicaIsPlannedFromItsSourcesName holds that a replica names its source by what is known before that is made, has its password, and
// none of its own.
func TestReplicaIsPlannedFromItsSourcesName(t *testing.T) {
	t.Parallel()
	db := chain()
	for name, c := range map[string]struct{ source, secret string }{
		"here":  {"", "region/here/admin"},
		"there": {"arn:aws:rds:eu-central-1:123456789012:db:default-orders-k3m9x2pq-here", "region/here/admin"},
		"far":   {"arn:aws:rds:us-east-1:123456789012:db:default-orders-k3m9x2pq-there", "region/here/admin"},
	} {
		t.Run(name, func(t *testing.T) {
			in, call := callOf(t, db, name)
			source, _ := call.Inputs["source_arn"].(string)
			if source != c.source || (len(call.Secrets) == 0) != (c.source != "") {
				t.Errorf("source %q with secrets %v, want %q", source, call.Secrets, c.source)
			}
			if got := New(Config{}).SecretNames(in); len(got) != 1 || got[0] != c.secret {
				t.Errorf("secrets %q, want %s", got, c.secret)
			}
		})
	}
}

func TestParametersTakeEffectAsAWSAllows(t *testing.T) {
	t.Parallel()
	db := chain()
	db.Spec.Engine.Parameters = map[string]string{"Max_Connections": "50", "work_mem": "8MB", "pg_stat_statements.max": "1000"}
	_, call := callOf(t, db, "here")
	now, restart := call.Inputs["parameters"].(map[string]string), call.Inputs["static_parameters"].(map[string]string)
	if now["work_mem"] != "8MB" || now["rds.force_ssl"] != "1" || restart["max_connections"] != "50" || restart["pg_stat_statements.max"] != "1000" || len(now)+len(restart) != 4 {
		t.Errorf("at once %v, at a restart %v", now, restart)
	}
	db.Spec.Replication.Links[0].Mode = stacks.LinkLogical
	if _, call = callOf(t, db, "here"); call.Inputs["static_parameters"].(map[string]string)["rds.logical_replication"] != "1" {
		t.Errorf("the source of a logical link does not log for it: %v", call.Inputs["static_parameters"])
	}
}

// TestRenderedRegion holds what reaches Terraform: the role to take, the only account, and the password as an ephemeral variable alone.
func TestRenderedRegion(t *testing.T) {
	t.Parallel()
	in := region(withRole("arn:aws:iam::123456789012:role/db", "3h"))
	call, err := New(Config{Installation: installation}).ModuleCall(in)
	if err != nil {
		t.Fatal(err)
	}
	stack, err := stacks.Render(in.Stack, call)
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, f := range stack.Files {
		text[f.Path] = strings.Join(strings.Fields(string(f.Content)), " ")
	}
	for file, words := range map[string][]string{
		"providers.tf": {`allowed_account_ids = ["123456789012"]`, "assume_role {", `duration = "3h0m0s"`, `role_arn = "arn:aws:iam::123456789012:role/db"`},
		"variables.tf": {"ephemeral = true"},
		"main.tf":      {"admin_password = var.admin_password", "deletion_protection = true", "final_snapshot = true", `owner = "inst/default/orders/k3m9x2pq/here"`},
	} {
		for _, w := range words {
			if !strings.Contains(text[file], w) {
				t.Errorf("%s has no %s:\n%s", file, w, text[file])
			}
		}
	}
	if strings.Contains(text["providers.tf"], "endpoints") {
		t.Error("an endpoints block costs 5 CPU-seconds a run")
	}
}

func TestLiftTakesOnlyTheProtectionAway(t *testing.T) {
	t.Parallel()
	in := region()
	p := New(Config{Installation: installation})
	call, err := p.ModuleCall(in)
	if err != nil {
		t.Fatal(err)
	}
	lift, err := p.LiftProtection(in)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range call.Inputs {
		if same := lift.Call.Inputs[name]; name == "deletion_protection" && (value != true || same != false) {
			t.Errorf("protection goes from %v to %v", value, same)
		}
	}
	if len(lift.Call.Inputs) != len(call.Inputs) || !slices.Contains(lift.Types, instanceType) {
		t.Errorf("%+v", lift)
	}
}

// TestPasswordOfAVersion holds that each version of a password has a secret of its own, which the module call names with its number; what was imported
// keeps its password until a new one is asked for.
func TestPasswordOfAVersion(t *testing.T) {
	t.Parallel()
	p := New(Config{Installation: installation})
	for name, c := range map[string]struct {
		version  int64
		imported bool
		want     any
		secret   string
	}{
		"not said":      {0, false, int64(1), "region/here/admin"},
		"the first":     {1, false, int64(1), "region/here/admin"},
		"the third":     {3, false, int64(3), "region/here/admin/3"},
		"imported":      {0, true, nil, ""},
		"imported, new": {2, true, int64(2), "region/here/admin/2"},
	} {
		in := region()
		in.Database.Spec.AdminPasswordVersion = c.version
		if c.imported {
			in.Placement = stacks.Placement{Values: map[string]string{valueIdentifier: "old", valueAdminUser: "shop"}, Takeover: &stacks.Takeover{}}
		}
		call, err := p.ModuleCall(in)
		if err != nil {
			t.Fatal(err)
		}
		if call.Inputs["admin_password_version"] != c.want || call.Secrets["admin_password"] != c.secret {
			t.Errorf("%s: version %v of %v", name, call.Inputs["admin_password_version"], call.Secrets)
		}
		if c.secret != "" && !slices.Contains(p.SecretNames(in), c.secret) {
			t.Errorf("%s: nobody makes %s", name, c.secret)
		}
	}
}

// TestStorageGrowsByItself holds what is told of storage that grows, and that a replica's grows as its source's unless said otherwise.
func TestStorageGrowsByItself(t *testing.T) {
	t.Parallel()
	storage := func(r *stacks.Region, s map[string]any) {
		r.Settings = settings()
		r.Settings["storage"] = s
	}
	db := chain()
	storage(&db.Spec.Regions[0], map[string]any{"gib": 500.0, "maxGib": 900.0})
	storage(&db.Spec.Regions[2], map[string]any{"maxGib": 700.0})
	cluster := region(withAurora)
	off := region()
	storage(&off.Region, map[string]any{"gib": 30.0, "maxGib": 30.0})
	for name, c := range map[string]struct {
		db     stacks.Database
		region stacks.Region
		most   float64 // -1: nothing grows
	}{
		"its own":          {db, db.Spec.Regions[0], 900},
		"a replica's":      {db, db.Spec.Regions[1], 900},
		"one that says so": {db, db.Spec.Regions[2], 700},
		"switched off":     {off.Database, off.Region, 0},
		"a cluster's":      {cluster.Database, cluster.Region, -1},
	} {
		got := New(Config{}).GrowsByItself(c.db, c.region)
		if c.most < 0 {
			if len(got) > 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Most != c.most || got[0].Type != instanceType || !strings.HasSuffix(got[0].Field, ".settings.storage.gib") {
			t.Errorf("%s: %+v, want up to %g", name, got, c.most)
		}
	}
	for name, want := range map[string]map[string]any{
		"here": {"gib": int64(500), "max_gib": int64(900), "type": "gp3"}, "there": {"gib": int64(500), "max_gib": int64(900), "type": "gp3"}, "far": {"gib": int64(500), "max_gib": int64(700), "type": "gp3"},
	} {
		if _, call := callOf(t, db, name); !reflect.DeepEqual(call.Inputs["storage"], want) {
			t.Errorf("%s gets %v, want %v", name, call.Inputs["storage"], want)
		}
	}
}
