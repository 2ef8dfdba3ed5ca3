package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// named is how many active items a plain line names.
const named = 3

// plain writes a line for each snapshot, for logs.
type plain struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *plain) show(s snapshot) {
	if len(s.active) == 0 {
		return
	}
	out := "progress: " + amount(s.done, s.total, s.open)
	if !s.open {
		out += fmt.Sprintf(" (%d%%)", percent(s.done, s.total))
	}
	fmt.Fprintf(p, "%s%s: %s\n", out, s.pace(), s.names())
}

func (s snapshot) names() string {
	var names []string
	for _, l := range s.active[:min(named, len(s.active))] {
		names = append(names, l.name)
	}
	out := strings.Join(names, ", ")
	if more := len(s.active) - named; more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

func (p *plain) close(s snapshot) { fmt.Fprintf(p, "progress: %s\n", s.summary()) }

func (p *plain) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.w.Write(b)
}
