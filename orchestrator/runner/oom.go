package runner

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// oomScore is the oom_score_adj of terraform: where memory runs out, the kernel ends a terraform, which is recovered, before it ends a
// server, a runner or a database. Our own plugin takes its part of it back, for the servers that it starts inherit it.
const oomScore = 500

// exposeToOOM makes a process, and what it starts from now on, one of the first that the kernel ends where memory runs out.
func exposeToOOM(pid int) error {
	path := fmt.Sprintf("/proc/%d/oom_score_adj", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || now >= oomScore {
		return err
	}
	return os.WriteFile(path, []byte(strconv.Itoa(oomScore)), 0o600)
}
