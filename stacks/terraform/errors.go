package terraform

import (
	"errors"
	"regexp"
	"strings"

	"meridian/stacks"
)

// Failures of terraform that Meridian treats by type; ErrorOf finds them in diagnostics.
var (
	// ErrStale says that the state moved since the plan was made: plan again.
	ErrStale = errors.New("saved plan is stale")
	// ErrStateLock says that another terraform holds the state.
	ErrStateLock = errors.New("state is locked")
	// ErrLockFile says that the lock file is not the one that the plan was made with, or lacks a provider.
	ErrLockFile = errors.New("inconsistent dependency lock file")
	// ErrStateWrite says that terraform could not write its state: what it made may be in no state.
	ErrStateWrite = errors.New("state could not be written")
	// ErrImportMissing says that an object which was to be imported is not there (any more): look it up again.
	ErrImportMissing = errors.New("nothing to import")
	// ErrExists says that something of that name is there: where an apply was interrupted before, it may be what that has made.
	ErrExists = errors.New("it exists already")
)

// known are the failures that a type, an advice or both belong to. This is the one place where terraform's texts become types.
// The first that matches wins.
var known = []struct {
	pattern *regexp.Regexp
	err     error
	next    string
}{
	{regexp.MustCompile(`saved plan is stale`), ErrStale, "Plan again: the state moved since this plan was made."},
	{regexp.MustCompile(`error acquiring the state lock|error locking state|state lock`), ErrStateLock, "Another terraform works on this stack; wait for it to end."},
	{regexp.MustCompile(`inconsistent dependency lock file`), ErrLockFile, "Plan again: the providers are not those that the plan was made with."},
	{regexp.MustCompile(`failed to (save|write|upload|persist) state|error saving state|failed to persist state`), ErrStateWrite,
		"Free space or mend the disk under the data directory before anything else; what was created may be missing from the state."},
	{regexp.MustCompile(`cannot import non-existent remote object`), ErrImportMissing, "Look again: what was to be taken over is not there any more."},
	{regexp.MustCompile(`text file busy`), nil, "The plugin was being written while terraform started it; try again."},
	{regexp.MustCompile(`no space left on device`), nil, "Free space under the data directory, then apply again."},
	{regexp.MustCompile(`no valid credential|unable to locate credentials|could not find default credentials|nocredentialproviders`), nil,
		"Give the server credentials for this provider in its environment, then apply again."},
	{regexp.MustCompile(`expiredtoken|token (has|is) expired|security token .* expired`), nil, "Renew the credentials in the server's environment, then apply again."},
	{regexp.MustCompile(`accessdenied|unauthorizedoperation|not authorized to perform|permission_denied|authorizationfailed`), nil,
		"Allow the credentials what the message names, then apply again."},
	{regexp.MustCompile(`quotaexceeded|quota exceeded|limitexceeded|limit exceeded`), nil, "Raise the account's quota or remove what is not needed, then apply again."},
	{regexp.MustCompile(`cannot be destroyed|deletion protection|deletion_protection`), nil,
		"Set spec.deletion.protect to false, apply, then remove it."},
	{regexp.MustCompile(`already ?exists`), ErrExists, "Something of this name is there, and in no state. Apply again to have it looked at: what bears this stack's mark is taken over. Else remove it, or choose another name."},
	{regexp.MustCompile(`failed to load plugin schemas|failed to instantiate provider|plugin did not respond|required plugins are not installed|missing required provider`), nil,
		"Look into the run's log for the plugin's own message; `meridian doctor` checks the plugins."},
	{regexp.MustCompile(`no value for required variable|required variable not set`), nil, "The stack lacks a secret that its plan was made with; plan again."},
}

// transient are the failures that pass by themselves.
var transient = regexp.MustCompile(strings.Join([]string{
	`connection (refused|reset|timed out)`, `broken pipe`, `i/o timeout`, `tls handshake timeout`, `context deadline exceeded`,
	`client\.timeout exceeded`, `request canceled while waiting`, `no route to host`, `network is unreachable`, `temporary failure in name resolution`,
	`server misbehaving`, `unexpected eof`, `http2: (server sent goaway|client connection lost)`, `transport is closing`,
	`throttl`, `toomanyrequests`, `too many requests`, `rate ?(limit )?exceeded`, `requestlimitexceeded`, `slow ?down`,
	`status ?code:? (429|500|502|503|504)`, `http (429|500|502|503|504)`, `internal ?server ?error`, `bad gateway`, `service ?unavailable`, `gateway time-?out`,
	`internalfailure`, `requesttimeout`, `text file busy`,
	`error acquiring the state lock`, `error locking state`,
	`the database system is (starting up|shutting down|in recovery mode)`,
}, "|"))

// lasting are failures that also speak of the network or of limits and never pass by themselves.
var lasting = regexp.MustCompile(strings.Join([]string{
	`quota`, `limitexceeded`, `expiredtoken`, `accessdenied`, `unauthorized`, `not authorized`, `forbidden`, `certificate`, `no such host`,
	`saved plan is stale`, `inconsistent dependency lock file`, `invalid`, `unsupported`, `tainted`, `no space left`,
	`failed to (save|write|upload|persist) state`, `error saving state`,
}, "|"))

// failureText is what the patterns look at: lower case, on one line.
func failureText(d stacks.Diagnostic) string {
	return strings.ToLower(strings.Join(strings.Fields(d.Summary+" "+d.Detail), " "))
}

// ErrorOf returns the first typed failure among the errors, or nil where there is none.
func ErrorOf(diags []stacks.Diagnostic) error {
	for _, d := range diags {
		if d.Severity != stacks.SeverityError {
			continue
		}
		text := failureText(d)
		for _, k := range known {
			if k.pattern.MatchString(text) {
				if k.err != nil {
					return k.err
				}
				break
			}
		}
	}
	return nil
}

// Classify decides, once and for all, whether the same step may be tried again by itself. It is conservative: every error among the
// diagnostics must be a known transient one (network, throttling, a server's 5xx, a locked state), and there must be one.
func Classify(diags []stacks.Diagnostic) (retryable bool) {
	for _, d := range diags {
		if d.Severity != stacks.SeverityError {
			continue
		}
		text := failureText(d)
		if !transient.MatchString(text) || lasting.MatchString(text) {
			return false
		}
		retryable = true
	}
	return retryable
}

// death is what terraform says when a plugin ended (killed, out of memory, a crash) while it was at work.
var death = regexp.MustCompile(strings.Join([]string{
	`^plugin did not respond`, `the plugin encountered an error, and failed to respond`, `^request cancelled the `,
	`reattachment process not found`, `plugin exited before we could connect`, `rpc error: code = unavailable`,
}, "|"))

// pluginDied reports whether an error says that the provider's plugin died at work: nobody knows how far it came.
func pluginDied(d stacks.Diagnostic) bool {
	return d.Severity == stacks.SeverityError && death.MatchString(failureText(d))
}

// afterDeath is what terraform makes of a plugin's death before it was configured.
var afterDeath = regexp.MustCompile(`^invalid provider configuration`)

// PluginDied reports whether terraform failed for nothing but the death of a plugin: it was interrupted.
func PluginDied(diags []stacks.Diagnostic) bool {
	some := false
	for _, d := range diags {
		if d.Severity == stacks.SeverityError {
			if !pluginDied(d) && !afterDeath.MatchString(failureText(d)) {
				return false
			}
			some = some || pluginDied(d)
		}
	}
	return some
}

// Advise fills Next for well-known failures.
func Advise(d stacks.Diagnostic) stacks.Diagnostic {
	if d.Next != "" || d.Severity != stacks.SeverityError {
		return d
	}
	text := failureText(d)
	for _, k := range known {
		if k.pattern.MatchString(text) {
			d.Next = k.next
			break
		}
	}
	return d
}
