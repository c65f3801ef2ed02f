// Command meridian-runner is the detached process that runs one step of terraform on one stack and journals it; see orchestrator/runner.
// It links no Temporal.
package main

import (
	"os"

	"meridian/orchestrator/runner"
)

func main() {
	os.Exit(runner.Main(os.Args[1:], os.Stdout, os.Stderr))
}
