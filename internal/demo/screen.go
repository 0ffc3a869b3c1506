package demo

import (
	"bytes"
	"fmt"
	"io"
)

// The control sequences that a screen uses: all of them are understood by every terminal of the last decades, or
// ignored.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J" // alternate screen, no cursor, clear
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h\x1b[H" // show nothing until the frame is whole
	endFrame    = "\x1b[J\x1b[?2026l"
	endOfLine   = "\x1b[K"
	resetStyle  = "\x1b[0m"
)

// Screen draws frames on a terminal's alternate screen, in place and without flicker: each frame is one write that
// overwrites the last. Leave gives the terminal back as it was.
type Screen struct {
	w     io.Writer
	color bool
	buf   bytes.Buffer
}

// NewScreen takes the terminal behind w. The caller must call Leave, whatever happens.
func NewScreen(w io.Writer, color bool) (*Screen, error) {
	if _, err := io.WriteString(w, enterScreen); err != nil {
		return nil, fmt.Errorf("take the screen: %w", err)
	}
	return &Screen{w: w, color: color}, nil
}

// Show draws a frame.
func (s *Screen) Show(lines []Line) error {
	s.buf.Reset()
	s.buf.WriteString(beginFrame)
	for i, line := range lines {
		if i > 0 {
			s.buf.WriteString("\r\n")
		}
		line.encode(&s.buf, s.color)
		s.buf.WriteString(endOfLine)
	}
	s.buf.WriteString(endFrame)
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return nil
}

// Leave gives the terminal back.
func (s *Screen) Leave() error {
	if _, err := io.WriteString(s.w, leaveScreen); err != nil {
		return fmt.Errorf("give the screen back: %w", err)
	}
	return nil
}

// Print writes lines one after the other, as they scroll by.
func Print(w io.Writer, lines []Line, color bool) error {
	var b bytes.Buffer
	for _, line := range lines {
		if color {
			line.encode(&b, true)
		} else {
			b.WriteString(line.Plain())
		}
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (d Line) encode(b *bytes.Buffer, color bool) {
	for _, s := range d {
		if !color || s.Style == (Style{}) {
			b.WriteString(s.Text)
			continue
		}
		if s.Style.Bold {
			b.WriteString("\x1b[1m")
		}
		if s.Style.Color != 0 {
			fmt.Fprintf(b, "\x1b[38;5;%dm", s.Style.Color)
		}
		b.WriteString(s.Text)
		b.WriteString(resetStyle)
	}
}
