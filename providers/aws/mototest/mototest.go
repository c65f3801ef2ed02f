// Package mototest starts the emulator of AWS (moto, with what .ci/moto_server.py mends in it) for tests. It is an emulator: what it says
// shows that our calls are understood, never that AWS would answer the same.
//
// It must never be imported by anything but tests, and reaches nothing but loopback.
package mototest

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// EnvRequired, where it is set, makes a missing emulator a failure and not a skip.
const EnvRequired = "MERIDIAN_CI"

// startWait is what a start may take: seconds, but for a machine that has no processor left.
const startWait = 5 * time.Minute

// Account is the account of the emulator.
const Account = "123456789012"

// The only credentials, which the emulator takes as it takes any.
const keyID, key = "AKIAMERIDIANTESTS000", "not-a-secret-of-anybody"

// Region is what an account has in a region before anything is made.
type Region struct {
	VPC   string `json:"vpc"`
	Group string `json:"group"` // a security group
	Key   string `json:"key"`   // a KMS key's ARN
}

// SubnetGroup is the name of the DB subnet group of each region.
const SubnetGroup = "databases"

// World is one emulator with all its regions.
type World struct {
	URL     string
	Regions map[string]Region
	// PID is the emulator's process.
	PID int
}

// Start starts an emulator of these regions that ends with the test. Where it is not installed, the test is skipped.
func Start(t testing.TB, regions ...string) *World {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	ci := filepath.Join(filepath.Dir(file), "..", "..", "..", ".ci")
	python, err := find(ci)
	if err != nil {
		if os.Getenv(EnvRequired) != "" {
			t.Fatalf("the emulator of AWS is not here: %v", err)
		}
		t.Skipf("SKIPPED: the emulator of AWS is not here: %v", err)
	}
	cmd := exec.Command(python, append([]string{filepath.Join(ci, "moto_server.py"), "0"}, regions...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+key, "PYTHONDONTWRITEBYTECODE=1")
	log, err := os.Create(filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("start the emulator of AWS: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
	})
	type said struct {
		Port    int               `json:"port"`
		Regions map[string]Region `json:"regions"`
	}
	first := make(chan said, 1)
	go func() {
		defer close(first)
		line, _ := bufio.NewReader(out).ReadBytes('\n')
		var s said
		if json.Unmarshal(line, &s) == nil {
			first <- s
		}
	}()
	select {
	case s, ok := <-first:
		if !ok {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the emulator of AWS does not start:\n%s", text)
		}
		return &World{URL: fmt.Sprintf("http://127.0.0.1:%d", s.Port), Regions: s.Regions, PID: cmd.Process.Pid}
	case <-time.After(startWait):
		t.Fatalf("the emulator of AWS does not start within %s", startWait)
	}
	return nil
}

// find returns the python of the virtual environment that .ci/moto.sh made.
func find(ci string) (string, error) {
	pins, err := os.ReadFile(filepath.Join(ci, "moto.txt"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(pins)
	python := filepath.Join(cache, "meridian", "moto", hex.EncodeToString(sum[:])[:16], "bin", "python")
	if _, err := os.Stat(python); err != nil {
		return "", fmt.Errorf("run .ci/moto.sh: %w", err)
	}
	return python, nil
}

// Env are the environment variables by which a program reaches this world and nothing else.
func (w *World) Env() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + w.URL, "AWS_ACCESS_KEY_ID=" + keyID, "AWS_SECRET_ACCESS_KEY=" + key, "AWS_SESSION_TOKEN=", "AWS_PROFILE=",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}
}

// SDK are the options by which the SDK reaches this world.
func (w *World) SDK() []func(*config.LoadOptions) error {
	return []func(*config.LoadOptions) error{
		config.WithBaseEndpoint(w.URL), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(keyID, key, "")),
		config.WithSharedConfigFiles(nil), config.WithSharedCredentialsFiles(nil),
	}
}
