package files

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/pinned"
)

// entry makes the tree entry of a valid file.
func (s *Source) entry(f *File) (builder.Entry, error) {
	e := builder.Entry{Path: imagePath(f.Path)}
	switch {
	case f.Dir:
		e.Type, e.Mode = builder.Dir, cmp.Or(f.Mode, builder.ModeDir)
	case f.Link != "":
		e.Type, e.Mode, e.Link = builder.Symlink, builder.ModeSymlink, f.Link
	case f.From != "":
		return s.fromRepository(e, f)
	default:
		e.Type, e.Mode = builder.Regular, cmp.Or(f.Mode, builder.ModeFile)
		e.Size, e.Content = int64(len(f.Content)), inline(f.Content)
		e.SHA256 = hashOf(f.Content)
	}
	return e, nil
}

func (s *Source) fromRepository(e builder.Entry, f *File) (builder.Entry, error) {
	content, stat, err := pinned.Pin(s.dir, f.From)
	if err != nil {
		return builder.Entry{}, err
	}
	mode := uint32(builder.ModeFile)
	if stat.Mode&0o111 != 0 {
		mode = builder.ModeExecutable
	}
	e.Type, e.Mode, e.Size, e.Content = builder.Regular, cmp.Or(f.Mode, mode), stat.Size, content
	return e, nil
}

func imagePath(p string) string { return strings.TrimPrefix(p, "/") }

// inline is content from the pipeline file itself.
type inline []byte

func (c inline) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c)), nil }

func hashOf(content []byte) v1.Hash {
	sum := sha256.Sum256(content)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}
