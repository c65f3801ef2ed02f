package server

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestMeansTheSame(t *testing.T) {
	t.Parallel()
	memory := setting{name: "work_mem", value: "8192", unit: "kB", kind: "integer"}
	blocks := setting{name: "shared_buffers", value: "16384", unit: "8kB", kind: "integer"}
	timeout := setting{name: "checkpoint_timeout", value: "300", unit: "s", kind: "integer"}
	cases := map[string]struct {
		have setting
		wish string
		want bool
	}{
		"memory in another unit":     {memory, "8MB", true},
		"memory in its own unit":     {memory, "8192kB", true},
		"memory without a unit":      {memory, "8192", true},
		"memory in bytes":            {memory, "8388608B", true},
		"memory with a space":        {memory, "8 MB", true},
		"other memory":               {memory, "9MB", false},
		"units have a case":          {memory, "8mb", false},
		"a time is no memory":        {memory, "8ms", false},
		"blocks":                     {blocks, "128MB", true},
		"blocks, rounded":            {blocks, "131073kB", true},
		"other blocks":               {blocks, "129MB", false},
		"time":                       {timeout, "5min", true},
		"time in ms":                 {timeout, "300000ms", true},
		"fraction of a unit":         {timeout, "0.0833333333h", true},
		"other time":                 {timeout, "6min", false},
		"yes is on":                  {setting{value: "on", kind: "bool"}, "yes", true},
		"a prefix of true":           {setting{value: "on", kind: "bool"}, "tr", true},
		"0 is off":                   {setting{value: "off", kind: "bool"}, "0", true},
		"off is not on":              {setting{value: "off", kind: "bool"}, "on", false},
		"no bool":                    {setting{value: "off", kind: "bool"}, "perhaps", false},
		"enum in capitals":           {setting{value: "replica", kind: "enum"}, "REPLICA", true},
		"enum that takes yes":        {setting{value: "on", kind: "enum"}, "true", true},
		"other enum":                 {setting{value: "logical", kind: "enum"}, "replica", false},
		"real":                       {setting{value: "0.5", kind: "real"}, "0.50", true},
		"real with an exponent":      {setting{value: "1.1", kind: "real"}, "11e-1", true},
		"octal":                      {setting{value: "0640", kind: "integer"}, "0640", true},
		"hexadecimal":                {setting{value: "16", kind: "integer"}, "0x10", true},
		"text":                       {setting{value: "a, b", kind: "string"}, "a, b", true},
		"text has a case":            {setting{value: "UTC", kind: "string"}, "utc", false},
		"-1 lets the server decide":  {setting{value: "512", unit: "8kB", kind: "integer", source: "override"}, "-1", true},
		"-1 elsewhere is a number":   {setting{value: "512", unit: "8kB", kind: "integer", source: "configuration file"}, "-1", false},
		"no number":                  {memory, "lots", false},
		"an empty wish is no number": {memory, "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.have.means(c.wish); got != c.want {
				t.Fatalf("%q for %+v: %v", c.wish, c.have, got)
			}
		})
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]setting{
		"8MB": {value: "8192", unit: "kB"}, "128MB": {value: "16384", unit: "8kB"}, "5min": {value: "300", unit: "s"}, "1500ms": {value: "1500", unit: "ms"},
		"-1": {value: "-1", unit: "kB"}, "0": {value: "0", unit: "ms"}, "logical": {value: "logical"},
	} {
		if got := v.shown(); got != want {
			t.Errorf("%+v is shown as %q, want %q", v, got, want)
		}
	}
}

func TestPasswordIsNowhere(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	s.Settings["log_statement"] = "all" // what a curious person would set
	first := mustEnsure(t, s)
	sql(t, s, "select 1")
	if _, err := login(t, s, "wrong"); err == nil {
		t.Fatal("a wrong password is let in")
	}
	const next = Password("An0ther-tr4in-window")
	info, err := Ensure(t.Context(), s, next)
	must(t, err)
	if info.PID != first.PID || info.PasswordStamp == first.PasswordStamp {
		t.Fatalf("%+v, then %+v", first, info)
	}
	if _, err := login(t, s, testPassword); err == nil {
		t.Fatal("the old password is let in")
	}
	conn, err := login(t, s, next)
	must(t, err)
	closeConn(conn)
	wantNowhere(t, s.Home, string(testPassword))
	wantNowhere(t, s.Home, string(next))
	if kept, err := Ensure(t.Context(), s, ""); err != nil || kept.PasswordStamp != info.PasswordStamp {
		t.Fatalf("an empty password changed it: %v", err)
	}
}

func TestSettingsDriftAndComeBack(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	s.Settings["DateStyle"] = "ISO, DMY" // PostgreSQL's own name has capitals
	s.Settings["wal_buffers"] = "-1"
	first := mustEnsure(t, s)
	if !maps.Equal(first.Has.Settings, s.Settings) {
		t.Fatalf("a new server has %v", first.Has.Settings)
	}
	sql(t, s, "alter system set work_mem = '64MB'", "select pg_reload_conf()")
	eventually(t, "drift seen", func() bool {
		info, err := Inspect(t.Context(), s)
		must(t, err)
		return info.Has.Settings["work_mem"] == "64MB"
	})
	if back := mustEnsure(t, s); back.PID != first.PID || !maps.Equal(back.Has.Settings, s.Settings) {
		t.Fatalf("%+v", back)
	}
	sql(t, s, "alter system set max_connections = 33", "alter system set port = 5999")
	must(t, Stop(t.Context(), s.Home, s.Owner))
	if back := mustEnsure(t, s); !maps.Equal(back.Has.Settings, s.Settings) || back.Has.Port != s.Port {
		t.Fatalf("what ALTER SYSTEM set survives a start: %+v", back)
	}
	delete(s.Settings, "max_connections")
	mustEnsure(t, s)
	s.Settings["max_connections"] = "100"
	if info, err := Inspect(t.Context(), s); err != nil || info.Has.Settings["max_connections"] != "100" {
		t.Fatalf("a setting that was left out is not at its default: %v, %v", info.Has.Settings, err)
	}
}

func TestBadSettingLeavesTheServerAlone(t *testing.T) {
	t.Parallel()
	s := testSpec(t)
	first := mustEnsure(t, s)
	for name, value := range map[string]string{"max_connections": "many", "no_such_parameter": "1", "port": "1", "work_mem": "1MB\nport=1"} {
		bad := s
		bad.Settings = map[string]string{name: value}
		if _, err := Ensure(t.Context(), bad, testPassword); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if sight := wantState(t, s, StateRunning); sight.PID != first.PID {
		t.Fatal("it was restarted")
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	versions := []string{"9.6", "15.9", "15.18", "18.4"}
	sorted := []string{"18.4", "15.9", "9.6", "15.18"}
	slices.SortFunc(sorted, CompareVersions)
	if !slices.Equal(sorted, versions) {
		t.Fatal(sorted)
	}
	found := []Binaries{{Version: "18.4"}, {Version: "15.18"}, {Version: "15.9"}}
	for asked, want := range map[string]string{"15": "15.18", "15.9": "15.9", "18": "18.4", "1": "", "15.1": "", "": "", "x": ""} {
		b, err := Resolve(found, asked)
		if b.Version != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", asked, b.Version, err)
		}
	}
}
