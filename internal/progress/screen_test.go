package progress_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var sequence = regexp.MustCompile(`^\x1b\[(\??[0-9]*)([A-Za-z])`)

// screen is what a wide terminal shows after text: it knows the sequences that we send and no other.
func screen(t *testing.T, text string) string {
	t.Helper()
	rows, row := []string{""}, 0
	for text != "" {
		if m := sequence.FindStringSubmatch(text); m != nil {
			switch m[2] {
			case "A":
				n, err := strconv.Atoi(m[1])
				if err != nil || n > row {
					t.Fatalf("the cursor goes up %s rows from row %d", m[1], row)
				}
				row -= n
			case "J":
				rows = rows[:row+1]
				rows[row] = ""
			case "h", "l":
			default:
				t.Fatalf("unknown sequence %q", m[0])
			}
			text = text[len(m[0]):]
			continue
		}
		switch text[0] {
		case '\n':
			row++
			if row == len(rows) {
				rows = append(rows, "")
			}
		case '\r': // always ahead of an erasure or a whole line
		default:
			rows[row] += text[:1]
		}
		text = text[1:]
	}
	return strings.Join(rows, "\n")
}
