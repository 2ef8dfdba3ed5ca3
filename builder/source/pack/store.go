package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// magic begins every index; another version is another word.
const magic = "pitcrew pack 1\n"

// Store is a folder of packs. It is safe for concurrent use, also by several processes.
type Store struct{ dir string }

// Open opens the store in dir, which it makes.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open pack store: %w", err)
	}
	return &Store{dir: dir}, nil
}

func (s *Store) file(key v1.Hash, suffix string) string { return filepath.Join(s.dir, key.Hex+suffix) }

// record is an entry in the index.
type record struct {
	Path, Link, SHA256 string
	Type               builder.Type
	Mode               uint32
	UID, GID           int
	Size, Offset       int64
}

// Tree is the unpacked archive with this key. A pack that is not whole counts as absent.
func (s *Store) Tree(key v1.Hash) (builder.Tree, bool, error) {
	raw, err := os.ReadFile(s.file(key, ".idx"))
	if errors.Is(err, fs.ErrNotExist) {
		return builder.Tree{}, false, nil
	}
	if err != nil {
		return builder.Tree{}, false, fmt.Errorf("read pack index: %w", err)
	}
	records, size, ok := decode(raw)
	if !ok {
		return builder.Tree{}, false, nil
	}
	info, err := os.Stat(s.file(key, ".pack"))
	if err != nil || info.Size() != size {
		return builder.Tree{}, false, nil //nolint:nilerr // not whole: to be made again
	}
	return s.tree(key, records), true, nil
}

func (s *Store) tree(key v1.Hash, records []record) builder.Tree {
	var t builder.Tree
	for _, r := range records {
		e := builder.Entry{Path: r.Path, Type: r.Type, Mode: r.Mode, UID: r.UID, GID: r.GID, Size: r.Size, Link: r.Link}
		if r.Type == builder.Regular {
			e.SHA256 = v1.Hash{Algorithm: "sha256", Hex: r.SHA256}
			e.Content = content{file: s.file(key, ".pack"), offset: r.Offset, size: r.Size}
		}
		t.Entries = append(t.Entries, e)
	}
	return t
}

// content is a file's bytes in a pack.
type content struct {
	file         string
	offset, size int64
}

func (c content) Open() (io.ReadCloser, error) {
	f, err := os.Open(c.file)
	if err != nil {
		return nil, builder.Errorf(builder.Input, "run the build again: it unpacks the archive anew", "the cache lost a pack: %w: %w", builder.ErrChanged, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, c.offset, c.size), f}, nil
}

// encode makes the index: records, the pack's size, and a sum over both.
func encode(records []record, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(magic)
	enc := gob.NewEncoder(&b)
	if err := errors.Join(enc.Encode(size), enc.Encode(records)); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b.Bytes())
	return append(b.Bytes(), sum[:]...), nil
}

func decode(raw []byte) (records []record, size int64, ok bool) {
	n := len(raw) - sha256.Size
	if n < len(magic) || string(raw[:len(magic)]) != magic || sha256.Sum256(raw[:n]) != [sha256.Size]byte(raw[n:]) {
		return nil, 0, false
	}
	dec := gob.NewDecoder(bytes.NewReader(raw[len(magic):n]))
	if err := errors.Join(dec.Decode(&size), dec.Decode(&records)); err != nil {
		return nil, 0, false
	}
	return records, size, true
}

// Fill makes the pack with this key by calling fill, unless it is there; only one caller at a time does, over all
// processes. If fill fails nothing remains.
func (s *Store) Fill(ctx context.Context, key v1.Hash, fill func(w *Writer) error) (builder.Tree, error) {
	unlock, err := s.lock(key)
	if err != nil {
		return builder.Tree{}, err
	}
	defer unlock()
	if t, ok, err := s.Tree(key); ok || err != nil {
		return t, err
	}
	if err := ctx.Err(); err != nil {
		return builder.Tree{}, err
	}
	return s.make(key, fill)
}

func (s *Store) make(key v1.Hash, fill func(w *Writer) error) (t builder.Tree, err error) {
	body, err := os.CreateTemp(s.dir, ".tmp-*")
	if err != nil {
		return t, diskError(err)
	}
	defer func() {
		err = errors.Join(err, body.Close())
		if err != nil {
			_ = os.Remove(body.Name()) // the error that matters is already there
		}
	}()
	w := &Writer{body: body, byPath: map[string]int{}}
	if err := fill(w); err != nil {
		return t, diskError(err)
	}
	if err := w.check(); err != nil {
		return t, err
	}
	slices.SortFunc(w.records, func(a, b record) int { return strings.Compare(a.Path, b.Path) })
	raw, err := encode(w.records, w.offset)
	if err != nil {
		return t, err
	}
	if err := os.Rename(body.Name(), s.file(key, ".pack")); err != nil {
		return t, err
	}
	tmp := body.Name() + ".idx"
	if err := os.WriteFile(tmp, raw, 0o644); err != nil {
		return t, diskError(err)
	}
	return s.tree(key, w.records), os.Rename(tmp, s.file(key, ".idx"))
}

func (s *Store) lock(key v1.Hash) (unlock func(), err error) {
	f, err := os.OpenFile(s.file(key, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, diskError(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock pack: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return builder.Errorf(builder.Input, "free some space, or name another folder with --cache-dir", "%w", err)
	}
	return err
}
