package pack

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"path"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// An index is the magic, the pack's size, the number of records, the records in the order of their paths, and the SHA-256
// of all that. Numbers are varints, texts have their length before them.

// magic begins every index; another version is another word.
const magic = "pitcrew pack 2\n"

// record is an entry in the index.
type record struct {
	path, link   string
	kind         builder.Type
	mode         uint32
	uid, gid     int
	size, offset int64 // in the pack; of Regular records
	sum          [sha256.Size]byte
}

// smallest is what a record takes at the least.
const smallest = 7

var errIndex = errors.New("the index is not well formed")

func encode(records []record, size int64) []byte {
	b := []byte(magic)
	b = binary.AppendUvarint(b, uint64(size)) //nolint:gosec // not negative
	b = binary.AppendUvarint(b, uint64(len(records)))
	for i := range records {
		b = records[i].append(b)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func (r *record) append(b []byte) []byte {
	b = appendText(b, r.path)
	b = append(b, byte(r.kind))
	b = binary.AppendUvarint(b, uint64(r.mode))
	b = binary.AppendVarint(b, int64(r.uid))
	b = binary.AppendVarint(b, int64(r.gid))
	b = appendText(b, r.link)
	if r.kind == builder.Regular {
		b = binary.AppendUvarint(b, uint64(r.size))   //nolint:gosec // not negative
		b = binary.AppendUvarint(b, uint64(r.offset)) //nolint:gosec // not negative
		b = append(b, r.sum[:]...)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decode returns nothing that encode was not given: what the checksum does not show, because somebody made it match,
// is checked as well.
func decode(raw []byte) (records []record, size int64, err error) {
	n := len(raw) - sha256.Size
	if n < len(magic) || string(raw[:len(magic)]) != magic || sha256.Sum256(raw[:n]) != [sha256.Size]byte(raw[n:]) {
		return nil, 0, errIndex
	}
	c := &cursor{b: raw[len(magic):n]}
	size = c.size()
	count := c.size()
	if c.bad || count > int64(len(c.b)/smallest) {
		return nil, 0, errIndex
	}
	records = make([]record, count)
	folders := map[string]bool{".": true}
	for i := range records {
		r := &records[i]
		c.record(r)
		if c.bad || !r.valid(size) || !folders[path.Dir(r.path)] || i > 0 && r.path <= records[i-1].path {
			return nil, 0, errIndex
		}
		if r.kind == builder.Dir {
			folders[r.path] = true
		}
	}
	if len(c.b) > 0 {
		return nil, 0, errIndex
	}
	return records, size, nil
}

func (r *record) valid(packSize int64) bool {
	if checkPath(r.path) != nil || r.mode > 0o7777 {
		return false
	}
	switch r.kind {
	case builder.Dir:
		return r.link == ""
	case builder.Regular:
		return r.link == "" && r.offset <= packSize && r.size <= packSize-r.offset
	case builder.Symlink:
		return checkLink(r.path, r.link, true) == nil
	default:
		return false
	}
}

// cursor reads an index. Once something is missing it is bad, and reads nothing more.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) record(r *record) {
	r.path = c.text()
	r.kind = builder.Type(c.bytes(1)[0])
	r.mode = uint32(min(c.size(), math.MaxUint32)) //nolint:gosec // bounded
	r.uid, r.gid = int(c.int()), int(c.int())
	r.link = c.text()
	if r.kind == builder.Regular {
		r.size, r.offset = c.size(), c.size()
		copy(r.sum[:], c.bytes(len(r.sum)))
	}
}

// bytes returns n bytes, zeros if there are not so many.
func (c *cursor) bytes(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return make([]byte, min(n, sha256.Size))
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

// size reads a number that is not negative.
func (c *cursor) size() int64 {
	v, n := binary.Uvarint(c.b)
	if c.bad || n <= 0 || v > math.MaxInt64 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return int64(v)
}

func (c *cursor) int() int64 {
	v, n := binary.Varint(c.b)
	if c.bad || n <= 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) text() string {
	n := c.size()
	if n > maxPath {
		c.bad = true
		return ""
	}
	return string(c.bytes(int(n)))
}
