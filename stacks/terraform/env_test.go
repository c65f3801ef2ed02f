package terraform

import (
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	parent := []string{
		"PATH=/bin", "HOME=/home/x", "LC_ALL=C", "TMPDIR=/t", "AWS_REGION=eu", "ARM_CLIENT_ID=c", "https_proxy=p", "MERIDIAN_LOCALDB_DELAY=1s",
		"TF_CLI_ARGS=-destroy", "TF_CLI_ARGS_plan=-destroy", "TF_LOG=TRACE", "TF_VAR_password=parent", "TF_CLI_CONFIG_FILE=/nowhere", "TF_DATA_DIR=/d",
		"TF_WORKSPACE=w", "TF_PLUGIN_CACHE_DIR=/c", "TF_REATTACH_PROVIDERS={}", "MERIDIAN_KEYRING=key", "PGPASSWORD=p", "GITHUB_TOKEN=t", "GOGC=off", "LD_PRELOAD=x", "broken",
		"AWSOME=x", "PATHS=x",
	}
	got := Environment(parent, map[string]string{"password": "a=b\nc"}, map[string]string{EnvCLIConfig: "/ours", "TZ": "UTC"})
	want := []string{
		"ARM_CLIENT_ID=c", "AWS_REGION=eu", "CHECKPOINT_DISABLE=1", "GOGC=400", "HOME=/home/x", "LC_ALL=C", "MERIDIAN_LOCALDB_DELAY=1s", "PATH=/bin",
		"TF_CLI_CONFIG_FILE=/ours", "TF_INPUT=0", "TF_IN_AUTOMATION=1", "TF_VAR_password=a=b\nc", "TMPDIR=/t", "TZ=UTC", "https_proxy=p",
	}
	if !slices.Equal(got, want) {
		t.Errorf("environment is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
