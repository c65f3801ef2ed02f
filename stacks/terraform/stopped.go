package terraform

import "strings"

// ToldToStop reports whether an event is terraform's word that a signal told it to stop, whoever sent it. What fails after that has not failed
// by itself.
func ToldToStop(e StreamEvent) bool {
	return e.Type != EventRaw && strings.HasPrefix(strings.TrimSpace(e.Message), "Interrupt received")
}
