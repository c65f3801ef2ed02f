package aws

import (
	"maps"
	"slices"
	"testing"

	"meridian/providers"
	"meridian/stacks"
)

func withEngine(name, version string) func(*providers.ModuleInput) {
	return func(in *providers.ModuleInput) { in.Database.Spec.Engine = stacks.Engine{Name: name, Version: version} }
}

// TestEnginesOfRDS holds what reaches the module for each engine: its family, its port, its logs and its way to refuse plain connections.
func TestEnginesOfRDS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		engine, version    string
		family, group, tls string
		port               int64
		logs               []string
		parameter          string
	}{
		"postgres":         {"postgres", "16.8", "postgres16", "-postgres16", "rds.force_ssl", 5432, []string{"postgresql", "upgrade"}, "max_connections"},
		"mysql":            {"mysql", "8.4", "mysql8.4", "-mysql8-4", "require_secure_transport", 3306, []string{"error", "slowquery"}, "performance_schema_digests_size"},
		"mysql, exactly":   {"mysql", "8.0.40", "mysql8.0", "-mysql8-0", "require_secure_transport", 3306, []string{"error", "slowquery"}, "table_open_cache_instances"},
		"mysql, a hyphen":  {"mysql", "8.0", "mysql8.0", "-mysql8-0", "require_secure_transport", 3306, []string{"error", "slowquery"}, "gtid-mode"},
		"mariadb":          {"mariadb", "11.4", "mariadb11.4", "-mariadb11-4", "require_secure_transport", 3306, []string{"error", "slowquery"}, "back_log"},
		"mariadb, exactly": {"mariadb", "10.11.9", "mariadb10.11", "-mariadb10-11", "require_secure_transport", 3306, []string{"error", "slowquery"}, "thread_stack"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := region(withEngine(c.engine, c.version), func(in *providers.ModuleInput) {
				in.Database.Spec.Engine.Parameters = map[string]string{c.parameter: "9", "wait_timeout": "600"}
			})
			p := New(Config{Installation: installation})
			if !p.MakesReplicas(c.engine) {
				t.Error("no replicas")
			}
			call, err := p.ModuleCall(in)
			if err != nil {
				t.Fatal(err)
			}
			got := call.Inputs
			if call.Module != "aws-rds" || got["engine"] != c.engine || got["family"] != c.family || got["port"] != c.port || !slices.Equal(got["log_exports"].([]string), c.logs) {
				t.Errorf("%s: %v", call.Module, got)
			}
			if now := got["parameters"].(map[string]string); !maps.Equal(now, map[string]string{c.tls: "1", "wait_timeout": "600"}) {
				t.Errorf("at once %v", now)
			}
			if restart := got["static_parameters"].(map[string]string); !maps.Equal(restart, map[string]string{c.parameter: "9"}) {
				t.Errorf("at a restart %v", restart)
			}
			if group := parameterGroupName(in); group != identifier(in.Stack)+c.group {
				t.Errorf("parameter group %s", group)
			}
			e, err := p.Endpoint(providers.EndpointInput{ModuleInput: in, Outputs: map[string]any{"host": "db.example", "port": c.port, "admin_user": "meridian"}})
			if err != nil || e.TLSMode != "require" {
				t.Errorf("%+v, %v", e, err)
			}
			if _, err := stacks.Render(in.Stack, call); err != nil {
				t.Error(err)
			}
		})
	}
	in := region(withEngine("mysql", "8.4"))
	in.Region.Settings = settings()
	in.Region.Settings["aurora"] = map[string]any{}
	if _, err := New(Config{}).ModuleCall(in); err == nil {
		t.Error("a cluster of mysql is made")
	}
	if mode := New(Config{}).GlobalMode("mysql"); mode != "" {
		t.Errorf("mysql is global by %s", mode)
	}
}
