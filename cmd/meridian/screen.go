package main

import (
	"fmt"
	"os"
	"strings"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"
)

// screen redraws a few lines at the bottom of a terminal, in place, with nothing but cursor-up and clear: what scrolled by stays.
type screen struct {
	f     *os.File
	drawn []string
}

// size is the terminal's, or 80 by 24 where it does not say.
func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw replaces what was drawn. More lines than the terminal has rows are cut at the top.
func (s *screen) draw(lines []string) {
	width, height := s.size()
	if len(lines) > height-1 {
		lines = lines[len(lines)-(height-1):]
	}
	var b strings.Builder
	s.rewind(&b, width)
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	s.drawn = lines
	fmt.Fprint(s.f, b.String())
}

// clear takes the drawn lines away.
func (s *screen) clear() {
	width, _ := s.size()
	var b strings.Builder
	s.rewind(&b, width)
	s.drawn = nil
	fmt.Fprint(s.f, b.String())
}

// rewind goes back to the first drawn row. A terminal that became narrower has wrapped what was drawn: that is counted.
func (s *screen) rewind(b *strings.Builder, width int) {
	rows := 0
	for _, l := range s.drawn {
		rows += max(1, (lipgloss.Width(l)+width-1)/width)
	}
	if rows > 0 {
		fmt.Fprintf(b, "\r\x1b[%dA\x1b[J", rows)
	}
}
