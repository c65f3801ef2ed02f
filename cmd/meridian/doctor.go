package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"meridian/orchestrator/api"
)

// finding is what doctor says of one thing: ok, warn or fail, and what to do where it is not ok.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"`
	What  string `json:"what"`
	Next  string `json:"next,omitempty"`
}

func newDoctor(a *app) *cobra.Command {
	var config, where string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is missing on this machine, and say what to do",
		Long: `Look for what is missing on this machine, and say what to do. With a settings file, or a store that is not in the data directory, it
also asks the databases that hold catalog, journal and Temporal's state: whether they let us in, how their tables and clocks are, and which of
PostgreSQL's settings could hurt. It changes nothing, and may be asked while the server runs.`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := a.dataDir()
			if err != nil {
				return err
			}
			findings := append(a.examine(c.Context(), dir), examineStores(c.Context(), dir, config, where)...)
			err = a.print(findings, func(t *table) {
				for _, f := range findings {
					t.row(f.State, f.Check, f.What)
					if f.Next != "" {
						t.line("      next: %s", f.Next)
					}
				}
			})
			if err != nil {
				return err
			}
			for _, f := range findings {
				if f.State == "fail" {
					return &exitError{Code: exitFailed, What: "something is missing: see above"}
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&config, "config", "", "the server's settings file (MERIDIAN_CONFIG)")
	c.Flags().StringVar(&where, "store", "", "the server's store, where it is not in the data directory: as for the server (MERIDIAN_STORE)")
	return c
}

// examine looks at everything a server on dir needs; it changes nothing.
func (a *app) examine(ctx context.Context, dir string) []finding {
	return []finding{
		examinePrograms(), examineTerraform(ctx), examinePostgres(ctx, dir), examineMemory(ctx, dir), examineDataDir(dir), examineSpace(dir), examineToken(dir),
		examinePort(dir), a.examineServer(ctx),
	}
}

func examinePrograms() finding {
	f := finding{Check: "programs", State: "ok", What: "meridian-runner and terraform-provider-localdb are beside meridian"}
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	for _, name := range []string{"meridian-runner", "terraform-provider-localdb"} {
		if err == nil {
			_, err = os.Stat(filepath.Join(filepath.Dir(self), name))
		}
	}
	if err != nil {
		f.State, f.What, f.Next = "fail", err.Error(), "install them together: make build puts all three into bin/"
	}
	return f
}

func examineTerraform(ctx context.Context) finding {
	f := finding{Check: "terraform", State: "ok"}
	var path string
	for _, name := range []string{os.Getenv("MERIDIAN_TERRAFORM"), "terraform", "tofu"} {
		if name == "" {
			continue
		}
		found, err := exec.LookPath(name)
		if err == nil {
			path = found
			break
		}
	}
	if path == "" {
		f.State, f.What = "warn", "neither terraform nor tofu is in PATH"
		f.Next = "the server downloads a pinned one at its first start; without a network, install terraform 1.11 or later"
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "version", "-json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "CHECKPOINT_DISABLE=1"}
	text, err := cmd.Output()
	var v struct {
		Version string `json:"terraform_version"`
	}
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	switch {
	case err != nil:
		f.State, f.What, f.Next = "fail", path+" does not say its version: "+err.Error(), "install terraform 1.11 or later"
	case !atLeast(v.Version, 1, 11):
		f.State, f.What, f.Next = "fail", fmt.Sprintf("%s is version %s", path, v.Version), "install terraform (or OpenTofu) 1.11 or later: write-only values need it"
	default:
		f.What = fmt.Sprintf("%s %s", path, v.Version)
	}
	return f
}

func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	gotMajor, err1 := strconv.Atoi(parts[0])
	gotMinor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (gotMajor > major || (gotMajor == major && gotMinor >= minor))
}

func examinePostgres(ctx context.Context, dir string) finding {
	f := finding{Check: "postgresql", State: "ok"}
	next := "install PostgreSQL 14 or later (Debian: apt-get install postgresql); make demo does it for you"
	registry, err := openOffline(ctx, dir, false)
	var versions []string
	if err == nil {
		versions, err = registry.EngineVersions(ctx, "local", "postgres")
	}
	switch {
	case err != nil:
		f.State, f.What, f.Next = "fail", err.Error(), next
	case len(versions) == 0:
		f.State, f.What, f.Next = "fail", "no PostgreSQL server programs were found", next
	default:
		f.What = "provider local can run " + strings.Join(versions, ", ")
	}
	return f
}

// examineDataDir looks at the nearest part of the path that exists.
func examineDataDir(dir string) finding {
	f := finding{Check: "data directory", State: "ok", What: dir}
	there := nearest(dir)
	if there != dir {
		f.What += " (made at first start)"
	}
	const writeAndPass = 2 | 1
	if err := syscall.Access(there, writeAndPass); err != nil {
		f.State, f.What, f.Next = "fail", fmt.Sprintf("%s is not writable: %v", there, err), "choose another with --data DIR"
		return f
	}
	if os.Geteuid() != 0 {
		return f
	}
	for p := there; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err == nil && info.Mode().Perm()&1 == 0 {
			f.State, f.What = "fail", fmt.Sprintf("%s may not be passed by other users; PostgreSQL does not run as root and has to", p)
			f.Next = "chmod o+x " + p + ", or choose another with --data DIR"
			return f
		}
		if p == filepath.Dir(p) {
			return f
		}
	}
}

func nearest(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func examineSpace(dir string) finding {
	const want = 1 << 30
	f := finding{Check: "disk space", State: "ok"}
	var s syscall.Statfs_t
	if err := syscall.Statfs(nearest(dir), &s); err != nil {
		f.State, f.What, f.Next = "fail", err.Error(), "choose another with --data DIR"
		return f
	}
	free := s.Bavail * uint64(s.Bsize)
	f.What = fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))
	if free < want {
		f.State, f.Next = "warn", "make room: a full disk breaks terraform's state while it works"
	}
	return f
}

func examineToken(dir string) finding {
	path := filepath.Join(dir, tokenFile)
	f := finding{Check: "token", State: "ok", What: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.What = "made at the server's first start"
	case err != nil:
		f.State, f.What, f.Next = "fail", err.Error(), "ask the data directory's owner, or name yours with --data DIR"
	case info.Mode().Perm()&0o077 != 0:
		f.State, f.What, f.Next = "fail", fmt.Sprintf("%s may be read by others (mode %04o)", path, info.Mode().Perm()),
			"chmod 0600 it; remove it and restart the server if somebody may have read it"
	}
	return f
}

func examinePort(dir string) finding {
	f := finding{Check: "port", State: "ok"}
	if info, err := readServerInfo(dir); err == nil {
		address := strings.TrimPrefix(info.URL, "http://")
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			f.What = "the server of this data directory has " + address
			return f
		}
	}
	l, err := net.Listen("tcp", defaultListen)
	if err != nil {
		f.State, f.What, f.Next = "warn", defaultListen+" is taken", "start the server with --listen 127.0.0.1:0"
		return f
	}
	l.Close()
	f.What = defaultListen + " is free"
	return f
}

func (a *app) examineServer(ctx context.Context) finding {
	f := finding{Check: "server", State: "ok"}
	client, err := a.dial()
	var v api.VersionInfo
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		v, err = client.Version(ctx)
	}
	if err == nil {
		f.What = fmt.Sprintf("%s answers, version %s", client.URL(), v.Version)
		return f
	}
	f.State, f.What, f.Next = "warn", err.Error(), "start one with: meridian server"
	if code := exitCode(err); code != exitNoServer {
		f.State, f.Next = "fail", "name the right data directory with --data DIR, or set MERIDIAN_TOKEN"
	}
	return f
}
