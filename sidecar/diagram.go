package sidecar

import (
	"fmt"
	"strings"
)

// Diagram draws the life cycle, as Step follows it, in Mermaid's language. Ways that are open in many phases are drawn once.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> booting\n")
	for _, e := range edges {
		if len(e.from) > len(session) {
			fmt.Fprintf(&b, "    any --> %s: %s\n", e.to, e.when)
			continue
		}
		for _, from := range e.from {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", from, e.to, e.when)
		}
	}
	b.WriteString("    over --> [*]\n")
	return b.String()
}
