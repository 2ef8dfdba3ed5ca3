package pack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Writer takes the entries of a pack that is being made.
type Writer struct {
	body    *os.File
	offset  int64
	records []record
	byPath  map[string]int
}

// Limits bound what an archive may become; zero values mean the defaults.
type Limits struct {
	MaxSize    int64 // bytes of all files, default 64 GiB
	MaxEntries int   // default 2,000,000
}

// TarOptions say how to read a tar stream.
type TarOptions struct {
	StripComponents int
	Limits          Limits
	// KeepAbsoluteLinks takes symlinks with absolute targets, which are refused otherwise.
	KeepAbsoluteLinks bool
	// OnEntry may leave an entry out.
	OnEntry func(h *tar.Header) (skip bool, err error)
}

const hostile = "the archive is damaged or hostile: make it anew"

// Add stores an entry and its content. The path is checked and the mode normalised; of two entries with one path the
// later wins, as in tar.
func (w *Writer) Add(e builder.Entry, body io.Reader) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	r := record{Path: e.Path, Link: e.Link, Type: e.Type, Mode: mode(e), UID: e.UID, GID: e.GID}
	if e.Type == builder.Regular {
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(w.body, sum), body)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", e.Path, err)
		}
		r.Size, r.Offset, r.SHA256 = n, w.offset, hex.EncodeToString(sum.Sum(nil))
		w.offset += n
	}
	if i, ok := w.byPath[e.Path]; ok {
		w.records[i] = r
		return nil
	}
	w.byPath[e.Path] = len(w.records)
	w.records = append(w.records, r)
	return nil
}

func mode(e builder.Entry) uint32 {
	switch {
	case e.Type == builder.Symlink:
		return builder.ModeSymlink
	case e.Type == builder.Dir && e.Mode&0o1000 != 0:
		return 0o1777
	case e.Type == builder.Dir:
		return builder.ModeDir
	case e.Mode&0o111 != 0:
		return builder.ModeExecutable
	}
	return builder.ModeFile
}

func checkPath(p string) error {
	clean := p != "" && p == path.Clean(p) && p != "." && p != ".." && !path.IsAbs(p) && !strings.HasPrefix(p, "../")
	if !clean || len(p) > 4096 || strings.ContainsRune(p, 0) {
		return builder.Errorf(builder.Input, hostile, "entry %.80q: not a clean path inside the archive", p)
	}
	return nil
}

// AddTar adds a tar stream's entries. Device nodes, FIFOs, names and links that lead out of the archive, and more
// than the limits allow are Input errors that name the entry.
func (w *Writer) AddTar(ctx context.Context, r io.Reader, o TarOptions) error {
	if o.Limits.MaxSize == 0 {
		o.Limits.MaxSize = 64 << 30
	}
	if o.Limits.MaxEntries == 0 {
		o.Limits.MaxEntries = 2_000_000
	}
	tr := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return builder.Errorf(builder.Input, hostile, "read archive: %w", err)
		}
		if err := w.addHeader(h, tr, o); err != nil {
			return err
		}
	}
}

func (w *Writer) addHeader(h *tar.Header, body io.Reader, o TarOptions) error {
	name, ok := stripped(h.Name, o.StripComponents)
	if !ok {
		return nil
	}
	if o.OnEntry != nil {
		if skip, err := o.OnEntry(h); skip || err != nil {
			return err
		}
	}
	if len(w.records) >= o.Limits.MaxEntries || h.Size > o.Limits.MaxSize-w.offset {
		return builder.Errorf(builder.Input, "raise the limit if the archive is meant to be so large",
			"entry %.80q: the archive holds more than %d bytes or %d entries", h.Name, o.Limits.MaxSize, o.Limits.MaxEntries)
	}
	e := builder.Entry{Path: name, Mode: uint32(h.Mode & 0o7777), UID: 0, GID: 0}
	switch h.Typeflag {
	case tar.TypeDir:
		e.Type = builder.Dir
	case tar.TypeReg, tar.TypeGNUSparse:
		e.Type = builder.Regular
	case tar.TypeSymlink:
		e.Type, e.Link = builder.Symlink, h.Linkname
		if path.IsAbs(e.Link) && !o.KeepAbsoluteLinks || climbs(e) {
			return builder.Errorf(builder.Input, hostile, "entry %.80q: symlink to %.80q leads out of the archive", h.Name, h.Linkname)
		}
	case tar.TypeLink:
		target, _ := stripped(h.Linkname, o.StripComponents)
		return w.addHardlink(e, target)
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return builder.Errorf(builder.Input, "images hold files, folders and links only", "entry %.80q: type %q is a device, FIFO or unknown", h.Name, h.Typeflag)
	}
	return w.Add(e, body)
}

func (w *Writer) addHardlink(e builder.Entry, target string) error {
	i, ok := w.byPath[target]
	if !ok || w.records[i].Type != builder.Regular {
		return builder.Errorf(builder.Input, hostile, "entry %.80q: hard link to %.80q, which is not a file before it", e.Path, target)
	}
	if err := checkPath(e.Path); err != nil {
		return err
	}
	// Stored as a further record of the same bytes: which name is first is tar's order, not the tree's.
	r := w.records[i]
	r.Path = e.Path
	if at, ok := w.byPath[e.Path]; ok {
		w.records[at] = r
		return nil
	}
	w.byPath[e.Path] = len(w.records)
	w.records = append(w.records, r)
	return nil
}

func stripped(name string, n int) (string, bool) {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	for range n {
		_, rest, ok := strings.Cut(name, "/")
		if !ok {
			return "", false
		}
		name = rest
	}
	return name, name != "" && name != "."
}

func climbs(e builder.Entry) bool {
	if path.IsAbs(e.Link) {
		return false
	}
	target := path.Join(path.Dir(e.Path), e.Link)
	return target == ".." || strings.HasPrefix(target, "../")
}

// check holds what spans entries: nothing lies in what is not a folder. Folders that the archive does not list are added.
func (w *Writer) check() error {
	for i := 0; i < len(w.records); i++ {
		for dir := path.Dir(w.records[i].Path); dir != "."; dir = path.Dir(dir) {
			at, ok := w.byPath[dir]
			if ok && w.records[at].Type != builder.Dir {
				return builder.Errorf(builder.Input, hostile, "entry %.80q lies in %.80q, which is not a folder", w.records[i].Path, dir)
			}
			if !ok {
				w.byPath[dir] = len(w.records)
				w.records = append(w.records, record{Path: dir, Type: builder.Dir, Mode: builder.ModeDir})
			}
		}
	}
	return nil
}
