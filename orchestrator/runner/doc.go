// Package runner is the body of cmd/meridian-runner: a detached process that runs one step of terraform on one stack and journals
// it. It takes the locks, settles what an earlier attempt left, takes the fence, stages, starts terraform under a shim, spools and
// ships what terraform does, and finishes the step.
//
// Where the stack uses our own plugin, the shim starts that first and ends it last (private.go): one process for one launch.
//
// terraform outlives the runner: whoever comes next adopts it. The runner must never stop terraform but for `desired: cancel` in the
// head, never write a stack whose fence is not its own, never put a secret anywhere but into terraform's environment, and never end
// a process that it has not told apart from a later one of the same pid.
package runner
