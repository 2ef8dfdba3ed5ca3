package memo

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// The payload of a Memo is the root folder and then one record for each path, in byte order:
//
//	uvarint length, path, size, mtime, ctime, inode, dev (8 bytes each, little-endian), SHA-256
const (
	statSize    = 5 * 8
	maxPathSize = 64 << 10
)

var errOtherRoot = errors.New("it is about another folder")

// encodeRecords makes the frame, leaving out paths at the end that would make it too large to be read again.
func encodeRecords(root string, paths []string, records map[string]*record) []byte {
	frame := newFrame(kindFiles, len(root)+len(paths)*(statSize+sha256.Size+64))
	frame = appendString(frame, root)
	for _, path := range paths {
		if len(frame)+len(path)+statSize+2*sha256.Size+binary.MaxVarintLen64 > maxFrameSize {
			break
		}
		r := records[path]
		frame = appendString(frame, path)
		for _, n := range [...]uint64{uint64(r.stat.Size), uint64(r.stat.Mtime), uint64(r.stat.Ctime), r.stat.Inode, r.stat.Dev} {
			frame = binary.LittleEndian.AppendUint64(frame, n)
		}
		frame = append(frame, r.sum[:]...)
	}
	return frame
}

// decodeRecords reads a payload about root. The checksum has been found right, so that what does not parse was
// written by something else; nothing of it is used then.
func decodeRecords(payload []byte, root string) (map[string]*record, error) {
	about, rest, ok := cutString(payload)
	if !ok {
		return nil, errDamaged
	}
	if string(about) != root {
		return nil, errOtherRoot
	}
	// One allocation for all paths and one for all records: this is on the way of every build.
	text := string(rest)
	all := make([]record, 0, len(rest)/(statSize+sha256.Size+1))
	records := make(map[string]*record, cap(all)*3/4)
	for last := ""; len(rest) > 0; {
		path, tail, ok := cutString(rest)
		if !ok || len(path) == 0 || len(tail) < statSize+sha256.Size {
			return nil, errDamaged
		}
		start := len(text) - len(tail) - len(path)
		name := text[start : start+len(path)]
		if name <= last {
			return nil, errDamaged
		}
		all = append(all, decodeRecord(tail))
		records[name] = &all[len(all)-1]
		last, rest = name, tail[statSize+sha256.Size:]
	}
	return records, nil
}

func decodeRecord(b []byte) record {
	field := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	return record{
		stat: Stat{
			Size: int64(field(0)), Mtime: int64(field(1)), Ctime: int64(field(2)), Inode: field(3), Dev: field(4),
		},
		sum: [sha256.Size]byte(b[statSize : statSize+sha256.Size]),
	}
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// cutString is the inverse of appendString.
func cutString(b []byte) (s, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > maxPathSize || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	b = b[n:]
	return b[:size], b[size:], true
}
