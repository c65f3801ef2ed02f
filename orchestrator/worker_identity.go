package orchestrator

import (
	"fmt"
	"os"
	"strings"

	"meridian/orchestrator/activities"
)

// workerIdentity is what a worker says of itself to Temporal, for people and for the verbs that change the keyring.
type workerIdentity struct {
	// Process is PID@HOST.
	Process string
	// Site is the ID of the worker's site, Key the one that sealed when it started.
	Site, Key string
	// File says that its ring is its site's file, which it reads again when that changes.
	File bool
}

// identify is how a worker with these activities is known.
func identify(a *activities.Activities) (workerIdentity, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	w := workerIdentity{Process: fmt.Sprintf("%d@%s", os.Getpid(), host)}
	if w.Site, err = a.Site.ID(); err != nil {
		return w, err
	}
	ring := a.Catalog.Keys()
	keys, err := ring.Keys()
	if err != nil {
		return w, err
	}
	w.Key, w.File = keys[len(keys)-1].ID, !ring.Given()
	return w, nil
}

// String is what Temporal is told: "PID@HOST site=ID key=ID ring=file".
func (w workerIdentity) String() string {
	ring := "given"
	if w.File {
		ring = "file"
	}
	return fmt.Sprintf("%s site=%s key=%s ring=%s", w.Process, w.Site, w.Key, ring)
}

// readIdentity reads what String wrote. Of one that says something else only the process is known.
func readIdentity(text string) workerIdentity {
	process, rest, _ := strings.Cut(text, " ")
	w := workerIdentity{Process: process}
	for _, field := range strings.Fields(rest) {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "site":
			w.Site = value
		case "key":
			w.Key = value
		case "ring":
			w.File = value == "file"
		}
	}
	return w
}
