package lock

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const firstLine = "# pitcrew assets.lock v1"

// WriteTo writes the canonical text: parsing it and writing it again gives the same bytes.
func (l *Lock) WriteTo(w io.Writer) (int64, error) {
	out := &counted{w: bufio.NewWriter(w)}
	fmt.Fprintln(out, firstLine+": written by builder; keep it in version control")
	for _, c := range l.Classes {
		policy := "zstd"
		if c.Store {
			policy = "store"
		}
		fmt.Fprintf(out, "class %s %s %d.%03d\n", c.Ext, policy, c.Ratio/1000, c.Ratio%1000)
	}
	for _, i := range l.Images {
		fmt.Fprintf(out, "image %s %s\n", i.Name, i.Digest)
	}
	for _, y := range l.Layers {
		fmt.Fprintf(out, "layer %d %s %s %s %s %s %d\n", y.ID, y.Kind, y.Codec, y.Key, y.Digest, y.DiffID, y.Size)
	}
	var line []byte
	for _, f := range l.Files {
		line = appendFile(line[:0], f)
		if _, err := out.Write(line); err != nil {
			break // kept by out
		}
	}
	for _, g := range l.Gone {
		fmt.Fprintf(out, "gone %d %s\n", g.Layer, quote(g.Path))
	}
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

// appendFile appends a file's line: there are many. The owner stands behind the mode unless it is root.
func appendFile(line []byte, f File) []byte {
	line = append(line, f.Type, ' ')
	line = append(strconv.AppendInt(line, int64(f.Layer), 10), ' ')
	line = strconv.AppendUint(line, uint64(f.Mode), 8)
	if f.UID != 0 || f.GID != 0 {
		line = strconv.AppendInt(append(line, ':'), int64(f.UID), 10)
		line = strconv.AppendInt(append(line, ':'), int64(f.GID), 10)
	}
	line = append(strconv.AppendInt(append(line, ' '), f.Size, 10), ' ')
	line = append(append(line, f.SHA256...), ' ')
	return append(append(line, quote(f.Path)...), '\n')
}

// counted keeps the first error, so that the lines above need not.
type counted struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (c *counted) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.err = err
	return n, err
}

func quote(p string) string {
	plain := utf8.ValidString(p) && p == strings.TrimSpace(p) && !strings.ContainsFunc(p, func(r rune) bool {
		return r == '"' || !strconv.IsPrint(r)
	})
	if plain {
		return p
	}
	return strconv.Quote(p)
}
