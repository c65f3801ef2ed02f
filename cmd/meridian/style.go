package main

// style colours text for a terminal, or leaves it alone. Colours only underline what the words say already.
type style struct{ on bool }

func newStyle(on bool) style { return style{on: on} }

func (s style) wrap(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(t string) string { return s.wrap("1", t) }
func (s style) dim(t string) string  { return s.wrap("2", t) }
func (s style) bad(t string) string  { return s.wrap("1;31", t) }
func (s style) warn(t string) string { return s.wrap("33", t) }
func (s style) good(t string) string { return s.wrap("32", t) }
func (s style) busy(t string) string { return s.wrap("36", t) }
