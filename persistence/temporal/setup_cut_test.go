package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"sync"
	"testing"

	"meridian/persistence/temporal/cassandratest"
)

// settingsVariable holds the settings that a helper process sets up.
const (
	settingsVariable = "MERIDIAN_TEMPORAL_TEST_SETTINGS"
	roleSetUp        = "setup"
)

// playSetUp is the helper process that sets schemas up until it is done or killed.
func playSetUp() error {
	var s Settings
	if err := json.Unmarshal([]byte(os.Getenv(settingsVariable)), &s); err != nil {
		return err
	}
	return SetUpSchemas(context.Background(), &s, logTo(os.Stderr))
}

// setUpCutShort kills a process that sets a keyspace up in the middle of it, and lets two others do it at once then.
func setUpCutShort(t *testing.T, node *cassandratest.Node) {
	t.Helper()
	settings := onCassandra(node)
	settings.Cassandra.Keyspace = "cut_short"
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+roleSetUp, settingsVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	c, err := openSession(t.Context(), mustConfig(t, &plainCluster{settings: settings.Cassandra}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventuallyLong(t, "some tables are there", func() bool {
		var n int
		err := c.Query("SELECT count(*) FROM system_schema.tables WHERE keyspace_name = 'cut_short'").Scan(&n)
		return err == nil && n >= 5
	})
	kill(cmd)
	state := func() string {
		states, err := LookSchemas(t.Context(), &settings)
		if err != nil {
			t.Fatal(err)
		}
		return states[0].State
	}
	if s := state(); s != StatePartial {
		t.Fatalf("after the kill it is %s: the test proves nothing", s)
	}
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		both.Go(func() {
			if err := SetUpSchemas(t.Context(), &settings, logTo(os.Stderr)); err != nil {
				errs[i] = fmt.Errorf("set-up %d: %w", i, err)
			}
		})
	}
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if s := state(); s != StateCurrent {
		t.Errorf("after two set-ups at once it is %s", s)
	}
}
