package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"meridian/providers/local/cassandra"
	"meridian/providers/local/plugin"
	"meridian/providers/local/server"
)

const password = "Kor3an-g1nger-9lamp"

// TestMain lets terraform start the test binary itself as the plugin: no build, the very code under test.
func TestMain(m *testing.M) {
	if os.Getenv("TF_PLUGIN_MAGIC_COOKIE") == "" {
		m.Run()
		return
	}
	err := providerserver.Serve(context.Background(), plugin.New(), providerserver.ServeOpts{Address: plugin.Address, ProtocolVersion: 6})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// stack is a Terraform root module in a directory of its own, around one server.
type stack struct {
	t    *testing.T
	dir  string
	env  []string
	vars vars
}

// vars are the module's arguments.
type vars struct {
	Name, Owner, Address, DataDir, Version string
	Port                                   int
	Settings                               map[string]string
	PasswordVersion                        int
	Directories                            map[string]string
	Note                                   string
}

var addresses atomic.Uint32

// loopback returns an address that no other test of this process has, and hardly one of another.
func loopback(t *testing.T) string {
	t.Helper()
	h := fnv.New32a()
	fmt.Fprint(h, os.Getpid(), t.Name())
	n := h.Sum32()
	return fmt.Sprintf("127.%d.%d.%d", 100+n%100, n>>8%254+1, addresses.Add(1))
}

func majorHere(t *testing.T) string {
	t.Helper()
	found, err := server.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("no PostgreSQL on this machine: .ci/postgres.sh gets one")
	}
	return fmt.Sprint(server.Major(found[0].Version))
}

func newStack(t *testing.T) *stack {
	t.Helper()
	major := majorHere(t)
	s := rootOf(t, "local-postgres")
	s.vars = vars{
		Name: "orders", Owner: "test/default/orders/abc/" + t.Name(), Address: loopback(t), Port: 5432, DataDir: filepath.Join(s.root(), "db"), Version: major,
		Settings: map[string]string{"max_connections": "30", "work_mem": "8MB", "wal_level": "logical"}, PasswordVersion: 1,
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if spec, err := server.MarkedSpec(s.vars.DataDir); err == nil {
			if err := server.Destroy(ctx, spec.Home, spec.Owner); err != nil {
				t.Error(err)
			}
		} else if err := server.Destroy(ctx, s.vars.DataDir, s.vars.Owner); err != nil {
			t.Error(err)
		}
	})
	s.write()
	s.must("init", "-input=false")
	return s
}

// root is the directory that holds the stack, and what it makes.
func (s *stack) root() string { return filepath.Dir(s.dir) }

// rootOf makes a directory for a stack around one of our modules, with the plugin beside it. It is gone at the test's end, after whatever later
// clean-ups remove from it.
func rootOf(t *testing.T, module string) *stack {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("no terraform on this machine")
	}
	root, err := os.MkdirTemp("/tmp", "meridian-plugin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	s := &stack{t: t, dir: filepath.Join(root, "stack")}
	if err := os.Chmod(root, 0o711); err != nil { // servers of a root's tests run as somebody else
		t.Fatal(err)
	}
	mirror := filepath.Join(root, "mirror", filepath.FromSlash(plugin.Address), "0.1.0", runtime.GOOS+"_"+runtime.GOARCH)
	for _, dir := range []string{mirror, s.dir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(mirror, "terraform-provider-localdb_v0.1.0")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(s.dir, "modules", module), os.DirFS("../../../modules/"+module)); err != nil {
		t.Fatal(err)
	}
	rc := filepath.Join(root, "cli.tfrc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", filepath.Join(root, "mirror")), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"PATH=" + filepath.Dir(terraform) + ":" + os.Getenv("PATH"), "HOME=" + root, "TF_CLI_CONFIG_FILE=" + rc, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"TF_VAR_admin_password=" + password, server.EnvBinaries + "=" + os.Getenv(server.EnvBinaries), "XDG_CACHE_HOME=" + os.Getenv("XDG_CACHE_HOME"),
		cassandra.EnvHome + "=" + os.Getenv(cassandra.EnvHome), "JAVA_HOME=" + os.Getenv("JAVA_HOME"), "SECRET_OF_THE_PARENT=must-not-be-inherited"}
	return s
}

// write renders the stack with its present arguments.
func (s *stack) write() {
	s.t.Helper()
	settings, err := json.Marshal(s.vars.Settings)
	if err != nil {
		s.t.Fatal(err)
	}
	directories, err := json.Marshal(s.vars.Directories)
	if err != nil {
		s.t.Fatal(err)
	}
	text := fmt.Sprintf(`
variable "admin_password" {
  type      = string
  ephemeral = true
  sensitive = true
}
module "database" {
  source                 = "./modules/local-postgres"
  name                   = %q
  owner                  = %q
  address                = %q
  port                   = %d
  data_dir               = %q
  engine_version         = %q
  settings               = jsondecode(%q)
  admin_password         = var.admin_password
  admin_password_version = %d
  directories            = jsondecode(%q)
  directories_note       = %q
}
output "host" { value = module.database.host }
output "version" { value = module.database.server_version }
`, s.vars.Name, s.vars.Owner, s.vars.Address, s.vars.Port, s.vars.DataDir, s.vars.Version, settings, s.vars.PasswordVersion, directories, s.vars.Note)
	if err := os.WriteFile(filepath.Join(s.dir, "main.tf"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(s.t.Context(), "terraform", args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, &out, &out
	return cmd, &out
}

// run runs terraform and returns its exit code and words.
func (s *stack) run(args ...string) (int, string) {
	s.t.Helper()
	cmd, out := s.command(append(args, "-no-color")...)
	err := cmd.Run()
	if cmd.ProcessState == nil {
		s.t.Fatalf("terraform %v: %v", args, err)
	}
	if strings.Contains(out.String(), password) {
		s.t.Fatalf("terraform %v prints the password", args)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func (s *stack) must(args ...string) string {
	s.t.Helper()
	code, out := s.run(args...)
	if code != 0 {
		s.t.Fatalf("terraform %v: exit %d\n%s", args, code, out)
	}
	return out
}

func (s *stack) apply() { s.t.Helper(); s.must("apply", "-auto-approve", "-input=false") }

// plan returns the exit code of `plan -detailed-exitcode`: 0 nothing, 1 error, 2 changes.
func (s *stack) plan() (int, string) {
	s.t.Helper()
	return s.run("plan", "-detailed-exitcode", "-input=false")
}

func (s *stack) wantClean() {
	s.t.Helper()
	if code, out := s.plan(); code != 0 {
		s.t.Fatalf("plan of an untouched stack: exit %d\n%s", code, out)
	}
}

func (s *stack) wantChange(words ...string) {
	s.t.Helper()
	code, out := s.plan()
	if code != 2 {
		s.t.Fatalf("plan: exit %d, want 2\n%s", code, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			s.t.Fatalf("plan does not say %q:\n%s", w, out)
		}
	}
}

func (s *stack) sight() server.Sight {
	s.t.Helper()
	sight, err := server.Look(s.t.Context(), s.vars.DataDir, s.vars.Owner)
	if err != nil {
		s.t.Fatal(err)
	}
	return sight
}

func (s *stack) wantState(want server.State) server.Sight {
	s.t.Helper()
	sight := s.sight()
	if sight.State != want {
		s.t.Fatalf("server is %s (%s), want %s", sight.State, sight.Message, want)
	}
	return sight
}

// eventually waits until the world is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-tick.C
	}
}
