package stacks

import (
	"fmt"
	"slices"
	"strings"
)

// Takes reports whether a change is the taking of one of the objects into the state.
func (t Takeover) Takes(c Change) bool {
	return c.Importing && slices.ContainsFunc(t.Objects, func(o Import) bool { return o.Address == c.Address })
}

// Refuses says why a takeover may not make a change, and what to do about it; why is empty where it may.
func (t Takeover) Refuses(c Change) (why, next string) {
	if c.Type == "" { // an output
		return "", ""
	}
	switch c.Action {
	case ActionNoop, ActionRead:
		return "", ""
	case ActionDelete, ActionReplace, ActionForget:
		return fmt.Sprintf("it would %s %s", c.Action, c.Address), "make the spec say what is there; a takeover never destroys or replaces"
	case ActionCreate:
		if t.Change {
			return "", ""
		}
		return fmt.Sprintf("it would make %s, which is not there", c.Address), "make the spec say what is there, or let it be made: --change"
	}
	refused := t.Refused(c)
	if len(refused) == 0 {
		return "", ""
	}
	if slices.ContainsFunc(c.Attributes, func(a AttributeChange) bool { return t.never(a) }) {
		return fmt.Sprintf("it would set the password of %s", c.Address), "this is a fault of the provider; nothing was changed"
	}
	return fmt.Sprintf("it would change %s of %s", strings.Join(refused, ", "), c.Address), "make the spec say what is there, or let it be changed in place: --change"
}

// Refused lists the attributes, before and after, that a change may not change.
func (t Takeover) Refused(c Change) (out []string) {
	for _, a := range c.Attributes {
		if t.never(a) || !t.Change && !slices.Contains(t.May, word(a.Path)) {
			out = append(out, fmt.Sprintf("%s (%s becomes %s)", a.Path, shownValue(a.Before, false, a.Sensitive), shownValue(a.After, a.Unknown, a.Sensitive)))
		}
	}
	return out
}

func (t Takeover) never(a AttributeChange) bool { return slices.Contains(t.Never, word(a.Path)) }

// word is the first word of an attribute's path.
func word(path string) string {
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path
	}
	return path[:end]
}

func shownValue(text string, unknown, sensitive bool) string {
	switch {
	case sensitive:
		return "****"
	case unknown:
		return "what is known after the apply"
	case text == "":
		return "nothing"
	}
	return text
}
