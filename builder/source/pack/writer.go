package pack

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Writer takes the entries of a pack that is being made. It is used by one goroutine.
type Writer struct {
	body    *bufio.Writer
	sum     hash.Hash
	buf     []byte
	offset  int64 // bytes written to body
	limits  Limits
	entries int // of all kinds, see Limits.MaxEntries
	names   int64
	records []record
	byPath  map[string]int
}

func newWriter(body io.Writer) *Writer {
	return &Writer{
		body: bufio.NewWriterSize(body, 1<<20), sum: sha256.New(), buf: make([]byte, 128<<10),
		limits: Limits{}.orDefault(), byPath: map[string]int{},
	}
}

// Limit sets what the pack may hold; of l only sizes and entries count.
func (w *Writer) Limit(l Limits) { w.limits = l.orDefault() }

// Add stores an entry and, if it is Regular, the content. The path must be one that [builder.Entry.Path] may have, and
// lie in what is a folder or not there; folders above it are added. Permissions are normalised to 0755 for folders and
// executable files, and 0644; the owner is kept. Of two entries with one path the later wins, as in tar.
func (w *Writer) Add(e builder.Entry, body io.Reader) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if err := w.count(e.Path); err != nil {
		return err
	}
	r := record{path: e.Path, kind: e.Type, mode: mode(e), uid: e.UID, gid: e.GID}
	switch e.Type {
	case builder.Dir:
	case builder.Regular:
		if err := w.store(&r, body); err != nil {
			return err
		}
	case builder.Symlink:
		if err := checkLink(e.Path, e.Link, true); err != nil {
			return err
		}
		r.link = e.Link
	default:
		return fmt.Errorf("add %q to pack: type %d is not stored", e.Path, e.Type)
	}
	return w.put(r)
}

// count takes note of an entry and fails if it is one too many.
func (w *Writer) count(name string) error {
	if w.entries++; w.entries > w.limits.MaxEntries {
		return refused(name, limitHint, "the archive has more than %d entries", w.limits.MaxEntries)
	}
	return nil
}

// store appends a file's content to the pack.
func (w *Writer) store(r *record, body io.Reader) error {
	w.sum.Reset()
	left := w.limits.MaxSize - w.offset
	n, err := io.CopyBuffer(io.MultiWriter(w.body, w.sum), struct{ io.Reader }{io.LimitReader(body, left+1)}, w.buf)
	r.size, r.offset = n, w.offset
	w.offset += n
	if err != nil {
		return fmt.Errorf("entry %.80q: %w", r.path, err)
	}
	if n > left {
		return w.tooLarge(r.path)
	}
	w.sum.Sum(r.sum[:0])
	return nil
}

func (w *Writer) tooLarge(name string) error {
	return refused(name, limitHint, "the archive's files have more than %d bytes", w.limits.MaxSize)
}

// put enters a record, and the folders above it.
func (w *Writer) put(r record) error {
	if err := w.parents(r.path); err != nil {
		return err
	}
	if w.names += int64(len(r.path) + len(r.link)); w.names > maxNames {
		return refused(r.path, limitHint, "the names in the archive have more than %d bytes", int64(maxNames))
	}
	if i, ok := w.byPath[r.path]; ok {
		w.records[i] = r
		return nil
	}
	w.byPath[r.path] = len(w.records)
	w.records = append(w.records, r)
	return nil
}

// parents adds the folders above name that are not there. One that is there is a folder in a folder, or check finds out.
func (w *Writer) parents(name string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if i, ok := w.byPath[dir]; ok {
			return w.isFolder(i, name)
		}
		if err := w.count(name); err != nil {
			return err
		}
		w.byPath[dir] = len(w.records)
		w.records = append(w.records, record{path: dir, kind: builder.Dir, mode: builder.ModeDir})
	}
	return nil
}

func (w *Writer) isFolder(i int, name string) error {
	switch dir := &w.records[i]; dir.kind {
	case builder.Dir:
		return nil
	case builder.Symlink:
		return refused(name, hostile, "it lies behind %.80q, which is a symlink", dir.path)
	default:
		return refused(name, hostile, "it lies in %.80q, which is not a folder", dir.path)
	}
}

// finish returns the records in the order of their paths. A folder with something in it must not have been replaced.
func (w *Writer) finish() ([]record, error) {
	for i := range w.records {
		if dir := path.Dir(w.records[i].path); dir != "." {
			if err := w.isFolder(w.byPath[dir], w.records[i].path); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(w.records, func(a, b record) int { return strings.Compare(a.path, b.path) })
	if err := w.body.Flush(); err != nil {
		return nil, fmt.Errorf("write pack: %w", err)
	}
	return w.records, nil
}

func mode(e builder.Entry) uint32 {
	switch {
	case e.Type == builder.Symlink:
		return builder.ModeSymlink
	case e.Type == builder.Dir:
		return builder.ModeDir
	case e.Mode&0o111 != 0:
		return builder.ModeExecutable
	}
	return builder.ModeFile
}
