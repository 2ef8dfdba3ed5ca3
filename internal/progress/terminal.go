package progress

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

const (
	barWidth = 24
	// rows bounds the items that are drawn, so that a frame fits on small terminals.
	rows = 8

	// Lines are cut at the terminal's edge rather than wrapped, so that we know how many rows a frame has.
	wrapOff    = "\x1b[?7l"
	wrapOn     = "\x1b[?7h"
	eraseBelow = "\x1b[J"
)

// terminal draws frames over one another. Each frame and the lines above it are one write.
type terminal struct {
	mu    sync.Mutex
	w     io.Writer
	frame string // what is on the screen now, cursor below it
}

func (t *terminal) show(s snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.redraw(nil, frame(s)) // a terminal that is gone is no reason to stop a transfer
}

func (t *terminal) close(s snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.redraw([]byte(s.summary()+"\n"), "") // as above
}

// Write puts p above the frame.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.frame == "" {
		return t.w.Write(p)
	}
	if err := t.redraw(p, t.frame); err != nil {
		return 0, err
	}
	return len(p), nil
}

// redraw replaces the frame by lines that stay and another frame.
func (t *terminal) redraw(above []byte, frame string) error {
	var out bytes.Buffer
	if n := strings.Count(t.frame, "\n"); n > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", n)
	}
	out.WriteString("\r" + eraseBelow)
	out.Write(above)
	if len(above) > 0 && above[len(above)-1] != '\n' {
		out.WriteByte('\n')
	}
	if frame != "" {
		out.WriteString(wrapOff + frame + wrapOn)
	}
	t.frame = frame
	_, err := t.w.Write(out.Bytes())
	return err
}

// frame is the total and a row for each active item, as many as there is room for.
func frame(s snapshot) string {
	var out strings.Builder
	if s.open {
		fmt.Fprintf(&out, "%s%s\n", size(s.done), s.pace())
	} else {
		fmt.Fprintf(&out, "%s %3d%%  %s%s\n", bar(s.done, s.total), percent(s.done, s.total), amount(s.done, s.total, false), s.pace())
	}
	for _, l := range s.active[:min(rows, len(s.active))] {
		fmt.Fprintf(&out, "  %-18s  %s\n", amount(l.done, l.total, l.open), l.name)
	}
	if more := len(s.active) - rows; more > 0 {
		fmt.Fprintf(&out, "  and %d more\n", more)
	}
	return out.String()
}

func bar(done, total int64) string {
	full := percent(done, total) * barWidth / 100
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", barWidth-full) + "]"
}
