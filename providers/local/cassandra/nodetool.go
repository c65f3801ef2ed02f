package cassandra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/providers"
	"meridian/providers/local/machine"
)

// ErrNodetool is what nodetool says no with. The text says what it said.
var ErrNodetool = errors.New("nodetool")

// Nodetool runs a command of nodetool on a node of ours and returns what it printed. Where ctx ends, what the node has begun goes on.
func Nodetool(ctx context.Context, home, owner string, args ...string) (string, error) {
	m, err := readMarker(home)
	if err != nil {
		return "", err
	}
	if err := m.checkOwner(owner); err != nil {
		return "", err
	}
	if processOf(home) == 0 {
		return "", fmt.Errorf("the node in %s is stopped: %w", home, ErrNodetool)
	}
	in, err := m.installation(m)
	if err != nil {
		return "", err
	}
	a, err := machine.RunAs()
	if err != nil {
		return "", err
	}
	if err := machine.HideDescriptors(); err != nil {
		return "", err
	}
	java := []string{"-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+PerfDisableSharedMem", "-Djava.net.preferIPv4Stack=true",
		"-Duser.home=" + filepath.Join(home, "tmp"), "-Djava.io.tmpdir=" + filepath.Join(home, "tmp"), "-Dlogback.configurationFile=" + filepath.Join(home, "conf/logback-tools.xml"), "-Dcassandra.storagedir=" + filepath.Join(home, "tmp")}
	java = append(java, access()...)
	java = append(java, "-cp", in.classPath(), "org.apache.cassandra.tools.NodeTool",
		"-h", "127.0.0.1", "-p", strconv.Itoa(m.JMXPort), "-u", "meridian", "-pwf", filepath.Join(home, jmxFile))
	cmd := a.Command(filepath.Dir(in.Java), in.Java, append(java, args...)...)
	cmd.Dir = home
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start nodetool: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("nodetool %s in %s: %w", args[0], home, ctx.Err())
		}
		return "", fmt.Errorf("nodetool %s in %s: %s: %w", args[0], home, firstWords(errs.String(), out.String()), ErrNodetool)
	}
	return out.String(), nil
}

func firstWords(texts ...string) string {
	for _, text := range texts {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "WARN") && !strings.HasPrefix(line, "at ") {
				return strings.TrimPrefix(line, "error: ")
			}
		}
	}
	return "it said nothing"
}

// Member is a node as another of its cluster sees it.
type Member struct {
	Datacenter, Address, HostID string
	// Up says that gossip hears of it; State is Cassandra's letter: N normal, J joining, L leaving, M moving.
	Up    bool
	State string
}

// Members asks a node of ours which nodes its cluster has.
func Members(ctx context.Context, home, owner string) ([]Member, error) {
	text, err := Nodetool(ctx, home, owner, "status")
	if err != nil {
		return nil, err
	}
	return parseStatus(text), nil
}

// parseStatus reads what `nodetool status` prints: a heading for each data centre, then a line for each node.
func parseStatus(text string) []Member {
	var out []Member
	dc := ""
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "Datacenter: "); ok {
			dc = strings.TrimSpace(name)
			continue
		}
		f := strings.Fields(line)
		if len(f) < 4 || len(f[0]) != 2 || !strings.Contains("UD", f[0][:1]) || !strings.Contains("NJLM", f[0][1:]) {
			continue
		}
		m := Member{Datacenter: dc, Address: f[1], Up: f[0][0] == 'U', State: f[0][1:]}
		for _, word := range f[2:] {
			if len(word) == 36 && strings.Count(word, "-") == 4 {
				m.HostID = word
			}
		}
		out = append(out, m)
	}
	return out
}

// Rebuild streams to a node of ours every row of a keyspace that its own part of the ring lacks, from another data centre. It returns once all
// is there; one that was begun before is waited for, and what it has brought is not streamed again.
func Rebuild(ctx context.Context, home, owner, keyspace, from string) error {
	for {
		_, err := Nodetool(ctx, home, owner, "rebuild", "-ks", keyspace, "--", from)
		if err == nil || !strings.Contains(err.Error(), "still rebuilding") {
			return err
		}
		if err := machine.Pause(ctx, time.Second); err != nil {
			return fmt.Errorf("the node in %s still rebuilds: %w", home, err)
		}
	}
}

// Repair has a node of ours and the others compare what they hold of a keyspace, and give each other what one of them lacks. A rebuild would
// leave out what it brought once.
func Repair(ctx context.Context, home, owner, keyspace string) error {
	_, err := Nodetool(ctx, home, owner, "repair", "-full", "--", keyspace)
	return err
}

// leaveFor bounds how long a node may hand over what it has before it is removed from outside.
const leaveFor = 90 * time.Second

// Leave takes a node of ours out of its cluster, whose other nodes forget it: by itself where it runs (it hands over what is only its own), else
// by one of the others that runs on this machine. A node without others has nobody to tell. One that has left already is fine.
func Leave(ctx context.Context, home, owner string) error {
	m, err := readMarker(home)
	if err != nil {
		return err
	}
	if err := m.checkOwner(owner); err != nil {
		return err
	}
	if len(Peers(m.Cluster, home)) == 0 {
		return nil
	}
	if processOf(home) != 0 {
		within, cancel := context.WithTimeout(ctx, leaveFor)
		_, err = Nodetool(within, home, owner, "decommission", "--force")
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := m.stop(ctx, hard); err != nil {
			return err
		}
	}
	// The others believe for some seconds that a dead node lives, and do not forget it so long.
	deadline := time.Now().Add(leaveFor)
	for {
		err := forget(ctx, m)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return errors.Join(err, ctx.Err())
		}
		if err := machine.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// forget has one of a dead node's peers remove it. Without peers there is nobody left who knows it.
func forget(ctx context.Context, m marker) error {
	peers := Peers(m.Cluster, m.Home)
	var errs []error
	for _, peer := range peers {
		members, err := Members(ctx, peer, "")
		if err != nil {
			errs = append(errs, err) // it may be ending too
			continue
		}
		i := slices.IndexFunc(members, func(other Member) bool { return other.Address == m.Address })
		if i < 0 {
			return nil
		}
		if _, err = Nodetool(ctx, peer, "", "removenode", members[i].HostID); err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	if len(peers) == 0 {
		return nil
	}
	return fmt.Errorf("no other node of cluster %s forgets the one in %s: %w", m.Cluster, m.Home, errors.Join(append(errs, providers.ErrLeftBehind)...))
}
