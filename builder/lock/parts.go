package lock

import (
	"bytes"
	"io"
	"strconv"
)

// Parts cuts the lock's text into pieces that change at different times: what is short; the files of base layers, which are
// many and stay for long; and those of deltas. One behind the other they are a lock's text for [Parse].
func (l *Lock) Parts() ([][]byte, error) {
	var text bytes.Buffer
	if _, err := l.WriteTo(&text); err != nil {
		return nil, err
	}
	bases := map[string]bool{}
	for _, y := range l.Layers {
		if y.Kind == "base" {
			bases[strconv.Itoa(y.ID)] = true
		}
	}
	parts := make([][]byte, 3)
	for line := range bytes.Lines(text.Bytes()) {
		word, rest, _ := bytes.Cut(line, []byte(" "))
		at := 0
		switch string(word) {
		case "f", "d", "l", "h":
			id, _, _ := bytes.Cut(rest, []byte(" "))
			at = 2
			if bases[string(id)] {
				at = 1
			}
		case "gone":
			at = 2
		}
		parts[at] = append(parts[at], line...)
	}
	return parts, nil
}

// Join reads the parts one behind the other.
func Join(parts [][]byte) io.Reader { return bytes.NewReader(bytes.Join(parts, nil)) }
