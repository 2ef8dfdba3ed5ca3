package progress

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// printable replaces what a terminal might obey: names may come from archives and registries.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, name)
}

// amount is "12 MB of 30 MB", or "12 MB" while the total is not known.
func amount(done, total int64, open bool) string {
	if open {
		return size(done)
	}
	return size(done) + " of " + size(total)
}

func size(n int64) string { return humanize.Bytes(uint64(max(0, n))) }

// pace is ", 4.2 MB/s, 7s left" as far as it is known.
func (s snapshot) pace() string {
	out := ", " + size(int64(s.rate)) + "/s"
	if left, ok := s.left(); ok {
		out += ", " + left.Round(time.Second).String() + " left"
	}
	return out
}

func (s snapshot) summary() string {
	average := float64(s.done) / max(s.took.Seconds(), 1e-3)
	out := fmt.Sprintf("%s in %s, %s/s", size(s.done), s.took.Round(100*time.Millisecond), size(int64(average)))
	if n := len(s.active); n > 0 {
		out += fmt.Sprintf(", %d of %d unfinished", n, n+s.finished)
	}
	return out
}

// percent is full only when all is done.
func percent(done, total int64) int {
	if total <= 0 {
		return 0
	}
	return int(float64(done) / float64(total) * 100)
}
