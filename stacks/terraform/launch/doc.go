// Package launch is the one door to the terraform (or OpenTofu) binary: it finds or installs it, lays our plugins into the site's
// mirror, makes and stages templates of .terraform, builds the arguments of plan and apply, and runs the verbs that change no
// infrastructure by themselves (version, init of a template, show, untaint).
//
// It must never run plan or apply: only the shim starts those, so that they outlive the runner. Only orchestrator/runner imports it.
package launch
