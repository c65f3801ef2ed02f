package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/stacks"
	"meridian/stacks/terraform"
)

// The shell's side of the comparison, one line per stack.
const (
	shellApply  = "terraform init -input=false && terraform plan -input=false -out=tfplan && terraform apply -input=false tfplan"
	shellVerify = "terraform plan -input=false -detailed-exitcode"
)

// shell is the parallel shell loop that does by hand what Meridian does: the same terraform, plugin, mirror and stacks.
type shell struct {
	site   *site
	meter  *meter
	config string // CLI configuration with the mirror of Meridian's site
	model  stacks.Stack
	place  stacks.Placement
	env    []string // beside the environment
	dirs   []string
	made   int
}

// newShell takes the stack of a run that Meridian has planned as the model of its own.
func newShell(b *testing.B, r *running, run string) *shell {
	b.Helper()
	ctx := context.Background()
	s := &shell{site: newSite(b), meter: r.meter}
	steps, err := r.rows.journal.Steps(ctx, run)
	if err != nil || len(steps) == 0 {
		b.Fatalf("steps of %s: %v %v", run, steps, err)
	}
	step, err := r.rows.journal.Step(ctx, steps[0].ID)
	if err != nil {
		b.Fatal(err)
	}
	s.model = step.Stack
	if s.place, err = r.rows.catalog.Placement(ctx, step.Stack.ID); err != nil {
		b.Fatal(err)
	}
	s.config = filepath.Join(s.site.data, "terraformrc")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", terraform.Site{Root: r.site.data}.Mirror())
	s.write(s.config, []byte(text))
	return s
}

func (s *shell) write(path string, content []byte) {
	s.site.t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		s.site.t.Fatal(err)
	}
}

// lay writes n stacks, each into a directory of its own, with an address and a data directory of its own.
func (s *shell) lay(n int) {
	s.site.t.Helper()
	s.dirs = nil
	home := ""
	for _, v := range s.place.Values {
		home = v
	}
	for range n {
		s.made++
		name := fmt.Sprintf("db%d", s.made)
		// 127.255 is in no placement of Meridian's.
		swap := strings.NewReplacer(
			s.place.Address, fmt.Sprintf("127.255.%d.%d", s.made/250, s.made%250+1),
			home, filepath.Join(s.site.data, "servers", name),
		)
		dir := filepath.Join(s.site.data, "stacks", name)
		for _, f := range s.model.Files {
			s.write(filepath.Join(dir, filepath.FromSlash(f.Path)), []byte(swap.Replace(string(f.Content))))
		}
		s.dirs = append(s.dirs, dir)
	}
	if err := os.MkdirAll(filepath.Join(s.site.data, "servers"), 0o711); err != nil {
		s.site.t.Fatal(err)
	}
}

// loop runs a line in each stack's directory, as many at once as Meridian may.
func (s *shell) loop(line string) {
	s.site.t.Helper()
	cmd := exec.Command("xargs", "-P", fmt.Sprint(parallel()), "-I{}", "sh", "-c", "cd {} && { "+line+"; } >log 2>&1 || { cat log >&2; exit 255; }")
	cmd.Stdin = strings.NewReader(strings.Join(s.dirs, "\n"))
	cmd.Env = append(os.Environ(), s.meter.environ()...)
	cmd.Env = append(cmd.Env,
		"PATH="+s.meter.terraform+":"+os.Getenv("PATH"), "TF_CLI_CONFIG_FILE="+s.config, "CHECKPOINT_DISABLE=1",
	)
	cmd.Env = append(cmd.Env, s.env...)
	for variable := range s.model.Secrets {
		cmd.Env = append(cmd.Env, "TF_VAR_"+variable+"=not-a-secret")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		s.site.t.Fatalf("%s: %v\n%s", line, err, out.String())
	}
}

// remove ends the servers and removes everything that was made.
func (s *shell) remove() {
	s.site.t.Helper()
	for _, pid := range s.site.processes() {
		_ = kill(pid)
	}
	s.site.eventually("the shell's servers end", func() error {
		if left := s.site.processes(); len(left) > 0 {
			return fmt.Errorf("still there: %v", left)
		}
		return nil
	})
	for _, dir := range []string{"stacks", "servers"} {
		if err := os.RemoveAll(filepath.Join(s.site.data, dir)); err != nil {
			s.site.t.Fatal(err)
		}
	}
}
