package terraform

import (
	"strings"

	"meridian/stacks"
)

// minHidden is the shortest text that is hidden wherever it stands: shorter ones ("on", "5432") stand everywhere.
const minHidden = 8

// hider knows the sensitive texts of a plan. Terraform marks a value, not its text: a provider that copies a sensitive argument
// into an attribute of its own shows it in clear. What is sensitive in one place of a plan is hidden in all.
type hider struct{ texts map[string]bool }

// learn takes up the sensitive texts within a value.
func (h *hider) learn(v *value) { h.walk(v, false) }

func (h *hider) walk(v *value, hidden bool) {
	if v == nil {
		return
	}
	hidden = hidden || v.sensitive
	if hidden && strings.HasPrefix(v.text, `"`) && len(v.text) >= minHidden+2 {
		if h.texts == nil {
			h.texts = map[string]bool{}
		}
		h.texts[v.text[1:len(v.text)-1]] = true
	}
	for _, e := range v.list {
		h.walk(e, hidden)
	}
	for _, e := range v.fields {
		h.walk(e, hidden)
	}
}

// mask hides the attributes in which a sensitive text stands.
func (h *hider) mask(attributes []stacks.AttributeChange) {
	for i, a := range attributes {
		for text := range h.texts {
			if strings.Contains(a.Before, text) || strings.Contains(a.After, text) {
				attributes[i].Before, attributes[i].After, attributes[i].Sensitive = "", "", true
				break
			}
		}
	}
}
