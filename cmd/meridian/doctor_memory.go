package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"meridian/providers"
	"meridian/providers/local"
)

// need is what making one region of an engine takes on this machine, in MiB.
type need struct {
	engine string
	memory int
}

// examineMemory holds what the machine has against what one region takes of each engine that provider local can run here: terraform, its plugin, and
// the server that it starts.
func examineMemory(ctx context.Context, dir string) finding {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return finding{Check: "memory", State: "ok", What: "this system does not say how much there is"}
	}
	registry, err := openOffline(ctx, dir, false)
	if err != nil {
		return finding{Check: "memory", State: "fail", What: err.Error(), Next: "name another data directory with --data DIR"}
	}
	var needs []need
	if here, err := registry.Provider(local.Name); err == nil {
		if heavy, err := providers.As[providers.LaunchMemory](here); err == nil {
			for _, engine := range registry.EngineNames() {
				if versions, err := registry.EngineVersions(ctx, local.Name, engine); err == nil && len(versions) > 0 {
					needs = append(needs, need{engine, heavy.LaunchMemory(engine)})
				}
			}
		}
	}
	return memoryFinding(availableMemory(string(text)), needs)
}

// availableMemory reads /proc/meminfo, in MiB; -1 where it does not say.
func availableMemory(text string) int {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == "MemAvailable:" {
			if kib, err := strconv.Atoi(f[1]); err == nil {
				return kib >> 10
			}
		}
	}
	return -1
}

// memoryFinding says whether a region of each engine can be made in what is available. It is pure.
func memoryFinding(available int, needs []need) finding {
	f := finding{Check: "memory", State: "ok", What: "this system does not say how much is available"}
	if available < 0 {
		return f
	}
	f.What = fmt.Sprintf("%.1f GiB available", float64(available)/(1<<10))
	var words, short []string
	for _, n := range needs {
		words = append(words, fmt.Sprintf("%d MiB of %s", n.memory, n.engine))
		if n.memory > available {
			short = append(short, n.engine)
		}
	}
	if len(words) > 0 {
		f.What += "; a region takes " + strings.Join(words, ", ")
	}
	if len(short) > 0 {
		f.State, f.Next = "warn", "make room before you apply a local database of "+strings.Join(short, ", ")+": the kernel ends what does not fit"
	}
	return f
}
