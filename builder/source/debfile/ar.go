package debfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	arHeaderEnd  = "`\n"
)

// archive reads the members of a common ar archive one after the other.
type archive struct {
	r    io.Reader
	left int64 // of the current member
	pad  int64 // after it
}

// member is what an ar header tells that a .deb needs.
type member struct {
	name string
	size int64
}

func openArchive(r io.Reader) (*archive, error) {
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, cutShort(err)
	}
	if string(magic) != arMagic {
		return nil, errors.New("it does not begin as an ar archive")
	}
	return &archive{r: r}, nil
}

// next skips the rest of the current member. It returns io.EOF after the last one.
func (a *archive) next() (member, error) {
	if _, err := io.CopyN(io.Discard, a.r, a.left+a.pad); err != nil {
		return member{}, cutShort(err)
	}
	a.left, a.pad = 0, 0
	header := make([]byte, arHeaderSize)
	if _, err := io.ReadFull(a.r, header); err != nil {
		return member{}, err //nolint:wrapcheck // io.EOF as promised
	}
	m, err := parseHeader(header)
	if err != nil {
		return member{}, err
	}
	a.left, a.pad = m.size, m.size%2
	return m, nil
}

// parseHeader reads "name(16) mtime(12) uid(6) gid(6) mode(8) size(10) end(2)".
func parseHeader(header []byte) (member, error) {
	if !bytes.HasSuffix(header, []byte(arHeaderEnd)) {
		return member{}, fmt.Errorf("ar header %q has no end mark", header)
	}
	digits := strings.TrimRight(string(header[48:58]), " ")
	size, err := strconv.ParseUint(digits, 10, 63) // ten digits at most: no sum of such sizes overflows
	if err != nil {
		return member{}, fmt.Errorf("ar header has size %q, which is no number", digits)
	}
	name := strings.TrimRight(string(header[:16]), " ")
	return member{name: strings.TrimSuffix(name, "/"), size: int64(size)}, nil
}

// Read reads the current member. The archive's end before the member's is io.ErrUnexpectedEOF.
func (a *archive) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > a.left {
		p = p[:a.left]
	}
	n, err := a.r.Read(p)
	a.left -= int64(n)
	if err == io.EOF && a.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}

// cutShort is err, where the end of the input is not a proper end.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
