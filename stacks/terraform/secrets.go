package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// hiddenText stands where a secret was.
const hiddenText = "(sensitive value)"

// minWord is the shortest word of lower-case letters alone that is hidden in what terraform says: modules mark user names and the like as
// sensitive, and "postgres" stands in every other message.
const minWord = 12

// minSecretLine is the shortest line of a secret of several lines that is hidden by itself: a key is often printed line by line.
const minSecretLine = 16

// Secrets are the sensitive texts that a step of terraform works with. Terraform hides marked values in what it prints of its own; it prints as it is
// what a provider or a program says, and that may tell such a value. The zero value knows none.
type Secrets struct {
	texts map[string]bool
	forms *strings.Replacer
}

// Add takes up texts that are secret.
func (s *Secrets) Add(texts ...string) {
	for _, text := range texts {
		s.add(text, minHidden)
		if strings.Contains(text, "\n") {
			for line := range strings.Lines(text) {
				s.add(strings.TrimSpace(line), minSecretLine)
			}
		}
	}
}

func (s *Secrets) add(text string, shortest int) {
	if len(text) < shortest || len(text) < minWord && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz") == "" || s.texts[text] {
		return
	}
	if s.texts == nil {
		s.texts = map[string]bool{}
	}
	s.texts[text], s.forms = true, nil
}

// AddState takes up what is marked as sensitive in a state.
func (s *Secrets) AddState(data []byte) error {
	objects, outputs, err := stateParts(data)
	if err != nil {
		return err
	}
	s.learn(objects, outputs)
	return nil
}

// AddPlan takes up what is marked as sensitive in a plan file; ErrPlanVersion where it is of a format that is not known.
func (s *Secrets) AddPlan(file []byte) error {
	body, _, err := unpackPlan(file)
	if err != nil {
		return err
	}
	var p rawPlan
	if err := eachField(body, p.field); err != nil {
		return fmt.Errorf("plan file: %w", err)
	}
	if p.version != planFormat {
		return fmt.Errorf("%w: format version %d, want %d", ErrPlanVersion, p.version, planFormat)
	}
	var r planReader
	resources, err := r.resources(p.changes)
	if err != nil {
		return err
	}
	outputs, err := r.outputs(p.outputs)
	if err != nil {
		return err
	}
	drift, err := r.resources(p.drift)
	s.learn(resources, outputs, drift)
	return err
}

func (s *Secrets) learn(lists ...[]objectChange) {
	var h hider
	for _, list := range lists {
		for _, o := range list {
			h.learn(o.before)
			h.learn(o.after)
		}
	}
	for quoted := range h.texts {
		var text string
		if json.Unmarshal([]byte(`"`+quoted+`"`), &text) == nil {
			s.Add(text)
		}
	}
}

// silent are the events in which terraform says nothing but its own: an address, an ID, a count.
var silent = map[string]bool{
	EventVersion: true, EventPlannedChange: true, EventResourceDrift: true, EventChangeSummary: true, EventOutputs: true,
	EventApplyStart: true, EventApplyProgress: true, EventApplyComplete: true, EventApplyErrored: true, EventRefreshStart: true, EventRefreshComplete: true,
}

// Telling reports whether a line of terraform's output may tell what a provider or a program said.
func Telling(line []byte) bool {
	var w struct {
		Type string `json:"type"`
	}
	return len(line) > 0 && (json.Unmarshal(line, &w) != nil || !silent[w.Type])
}

// Hide returns a line of terraform's output without the secrets, in whatever form an event holds them. An event stays one.
func (s *Secrets) Hide(line []byte) []byte {
	if len(s.texts) == 0 || !Telling(line) {
		return line
	}
	forms := s.replacer()
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var event map[string]any
	if dec.Decode(&event) != nil {
		return []byte(forms.Replace(string(line)))
	}
	if !hideIn(event, forms) {
		return line
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(event) != nil {
		return []byte(forms.Replace(string(line)))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// named are the fields of an event that name something, for whoever reads it later.
var named = map[string]bool{"type": true, "@level": true, "@timestamp": true, "@module": true, "address": true, "resource": true, "severity": true, "filename": true, "range": true}

// hideIn hides the secrets in the texts of an event, and reports whether there were any.
func hideIn(fields map[string]any, forms *strings.Replacer) (hid bool) {
	for key, v := range fields {
		if named[key] {
			continue
		}
		var in bool
		fields[key], in = hideValue(v, forms)
		hid = hid || in
	}
	return hid
}

func hideValue(v any, forms *strings.Replacer) (out any, hid bool) {
	switch v := v.(type) {
	case string:
		text := forms.Replace(v)
		return text, text != v
	case map[string]any:
		return v, hideIn(v, forms)
	case []any:
		for i := range v {
			var in bool
			v[i], in = hideValue(v[i], forms)
			hid = hid || in
		}
	}
	return v, hid
}

// replacer replaces each secret as it is and as people quote it, the longest first.
func (s *Secrets) replacer() *strings.Replacer {
	if s.forms != nil {
		return s.forms
	}
	forms := map[string]bool{}
	for text := range s.texts {
		escaped := jsonText(text)
		quoted := strconv.Quote(text)
		for _, form := range []string{text, escaped[1 : len(escaped)-1], quoted[1 : len(quoted)-1]} {
			forms[form] = true
		}
		if html, err := json.Marshal(text); err == nil {
			forms[string(html[1:len(html)-1])] = true
		}
	}
	list := make([]string, 0, len(forms))
	for form := range forms {
		list = append(list, form)
	}
	sort.Slice(list, func(i, k int) bool {
		return len(list[i]) > len(list[k]) || len(list[i]) == len(list[k]) && list[i] < list[k]
	})
	pairs := make([]string, 0, 2*len(list))
	for _, form := range list {
		pairs = append(pairs, form, hiddenText)
	}
	s.forms = strings.NewReplacer(pairs...)
	return s.forms
}
