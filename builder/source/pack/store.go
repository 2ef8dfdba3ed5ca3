package pack

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// The files of a key. A pack is whole when its index is there, which comes last.
const (
	packSuffix  = ".pack"
	indexSuffix = ".idx"
	lockSuffix  = ".lock" // while somebody works on the key
	tmpSuffix   = ".tmp"  // behind one of the first two
)

// Store is a folder of packs. It is safe for concurrent use, also by several processes.
type Store struct{ dir string }

// Open opens the store in dir, which it makes. What processes that were killed left unfinished is removed.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, diskError(fmt.Errorf("open pack store: %w", err))
	}
	s := &Store{dir: dir}
	return s, s.sweep()
}

func (s *Store) file(key v1.Hash, suffix string) string { return filepath.Join(s.dir, key.Hex+suffix) }

// sweep removes the files of keys that nobody works on and that are not whole.
func (s *Store) sweep() error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("open pack store: %w", err)
	}
	there := map[string]bool{}
	for _, f := range files {
		there[f.Name()] = true
	}
	for name := range there {
		stem, suffix, _ := strings.Cut(name, ".")
		key := v1.Hash{Algorithm: "sha256", Hex: stem}
		unfinished := strings.HasSuffix(suffix, "tmp") || "."+suffix == lockSuffix || "."+suffix == packSuffix && !there[stem+indexSuffix]
		if checkKey(key) == nil && unfinished {
			s.discard(key)
		}
	}
	return nil
}

// discard removes what there is of a key if it is not whole, unless somebody works on it. What cannot be removed now
// does no harm: it is never taken for whole.
func (s *Store) discard(key v1.Hash) {
	unlock, err := s.tryLock(key)
	if err != nil || unlock == nil {
		return
	}
	defer unlock()
	_, whole, err := s.load(key)
	if err == nil && !whole {
		_ = s.remove(key) // what stays is not taken for whole
	}
	_ = s.removeTemporary(key) // nor is this
}

// remove takes the index first: without it there is no pack.
func (s *Store) remove(key v1.Hash) error {
	return errors.Join(removed(s.file(key, indexSuffix)), removed(s.file(key, packSuffix)))
}

func (s *Store) removeTemporary(key v1.Hash) error {
	return errors.Join(removed(s.file(key, packSuffix+tmpSuffix)), removed(s.file(key, indexSuffix+tmpSuffix)))
}

func removed(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // names the file
	}
	return nil
}

// checkKey holds that the key is a file name.
func checkKey(key v1.Hash) error {
	if _, err := hex.DecodeString(key.Hex); err != nil || key.Hex == "" || len(key.Hex) > 128 {
		return fmt.Errorf("pack key %q is not a digest", key)
	}
	return nil
}

// Tree is the unpacked archive with this key, if it is there. A pack that is not whole is absent, and removed. Of a
// hard link the tree has a further Regular entry with the same content.
func (s *Store) Tree(key v1.Hash) (builder.Tree, bool, error) {
	if err := checkKey(key); err != nil {
		return builder.Tree{}, false, err
	}
	t, whole, err := s.load(key)
	if err == nil && !whole && s.exists(key) {
		s.discard(key)
	}
	return t, whole, err
}

func (s *Store) exists(key v1.Hash) bool {
	_, err := os.Lstat(s.file(key, indexSuffix))
	return err == nil
}

func (s *Store) load(key v1.Hash) (t builder.Tree, whole bool, err error) {
	raw, err := os.ReadFile(s.file(key, indexSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return t, false, nil
	}
	if err != nil {
		return t, false, fmt.Errorf("read pack index: %w", err)
	}
	records, size, err := decode(raw)
	if err != nil {
		return t, false, nil //nolint:nilerr // not whole: to be made again
	}
	info, err := os.Stat(s.file(key, packSuffix))
	if err != nil || info.Size() != size {
		return t, false, nil //nolint:nilerr // likewise
	}
	return s.tree(key, records), true, nil
}

func (s *Store) tree(key v1.Hash, records []record) builder.Tree {
	entries := make([]builder.Entry, len(records))
	contents := make([]content, len(records)) // one allocation; what belongs to no file costs little
	for i := range records {
		r := &records[i]
		entries[i] = builder.Entry{Path: r.path, Type: r.kind, Mode: r.mode, UID: r.uid, GID: r.gid, Link: r.link}
		if r.kind == builder.Regular {
			contents[i] = content{store: s, key: key, path: r.path, offset: r.offset, size: r.size, sum: r.sum}
			entries[i].Size, entries[i].Content = r.size, &contents[i]
			entries[i].SHA256 = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(r.sum[:])}
		}
	}
	return builder.Tree{Entries: entries}
}

// Fill returns the tree of this key. If it is not there, it is made by calling fill: one caller at a time does, over all
// goroutines and processes, and the others wait and find it. If fill fails nothing remains, and the error is fill's.
func (s *Store) Fill(ctx context.Context, key v1.Hash, fill func(w *Writer) error) (builder.Tree, error) {
	if t, ok, err := s.Tree(key); ok || err != nil {
		return t, err
	}
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return builder.Tree{}, err
	}
	defer unlock()
	if t, ok, err := s.load(key); ok || err != nil {
		return t, err
	}
	if err := ctx.Err(); err != nil {
		return builder.Tree{}, err //nolint:wrapcheck // the caller's own
	}
	return s.make(key, fill)
}

// make is called with the lock held.
func (s *Store) make(key v1.Hash, fill func(w *Writer) error) (t builder.Tree, err error) {
	done := false // also if fill panics
	defer func() {
		if !done {
			err = errors.Join(err, s.remove(key), s.removeTemporary(key))
		}
	}()
	records, err := s.write(key, fill)
	if err != nil {
		return t, diskError(err)
	}
	for _, suffix := range []string{packSuffix, indexSuffix} {
		if err := os.Rename(s.file(key, suffix+tmpSuffix), s.file(key, suffix)); err != nil {
			return t, fmt.Errorf("keep pack: %w", err)
		}
	}
	done = true
	return s.tree(key, records), nil
}

// write writes both files under their temporary names.
func (s *Store) write(key v1.Hash, fill func(w *Writer) error) (records []record, err error) {
	f, err := os.Create(s.file(key, packSuffix+tmpSuffix))
	if err != nil {
		return nil, fmt.Errorf("make pack: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := newWriter(f)
	if err := fill(w); err != nil {
		return nil, err
	}
	if records, err = w.finish(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.file(key, indexSuffix+tmpSuffix), encode(records, w.offset), 0o644); err != nil {
		return nil, fmt.Errorf("make pack: %w", err)
	}
	return records, nil
}

func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return builder.Errorf(builder.Input, "free some space, or name another folder with --cache-dir", "%w", err)
	}
	return err
}
