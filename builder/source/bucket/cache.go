package bucket

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// cache keeps objects, whole or not at all: the bytes, and beside them their digest, which is written last.
type cache struct{ dir string }

const sumSuffix = ".sha256"

// file is where an object of a store is kept.
func (c cache) file(store string, o *object) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "object 1\n%s\n%s\n%d\n%s", store, o.key, o.size, o.version+" "+o.content))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(c.dir, name[:2], name)
}

// find returns an object that is there.
func (c cache) find(file string, size int64) (*kept, bool) {
	raw, err := os.ReadFile(file + sumSuffix)
	if err != nil {
		return nil, false
	}
	sum, err := v1.NewHash("sha256:" + strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, false
	}
	info, err := os.Stat(file)
	if err != nil || info.Size() != size {
		return nil, false
	}
	return &kept{file, size, sum}, true
}

// keep takes over a file that is whole, by hashing it.
func (c cache) keep(part, file string, size int64) (*kept, error) {
	f, err := os.Open(part)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	k := &kept{file, size, v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}}
	if err := os.Rename(part, file); err != nil {
		return nil, err
	}
	tmp := part + sumSuffix // whoever has the lock of the object alone writes it
	if err := os.WriteFile(tmp, []byte(k.sum.Hex+"\n"), 0o644); err != nil {
		return nil, err
	}
	return k, os.Rename(tmp, file+sumSuffix)
}

// kept is an object in the cache. It is a [builder.Content].
type kept struct {
	file string
	size int64
	sum  v1.Hash
}

// Open returns the bytes, and holds them against their digest at the end.
func (k *kept) Open() (io.ReadCloser, error) {
	f, err := os.Open(k.file)
	if err != nil {
		return nil, k.lost(err)
	}
	return &reader{kept: k, file: f, sum: sha256.New()}, nil
}

// lost is the error about an object that is not what it was. The digest goes, so that the next build fetches it again.
func (k *kept) lost(cause error) error {
	if err := os.Remove(k.file + sumSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		cause = errors.Join(cause, err)
	}
	return builder.Errorf(builder.Input, "run the build again: it fetches the object anew",
		"read %q in the cache of objects: %w: %w", k.file, builder.ErrChanged, cause)
}

type reader struct {
	kept *kept
	file *os.File
	sum  hash.Hash
	n    int64
}

var errDamaged = errors.New("the bytes are not those that were fetched")

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.file.Read(p)
	r.sum.Write(p[:n])
	r.n += int64(n)
	if err == io.EOF && (r.n != r.kept.size || hex.EncodeToString(r.sum.Sum(nil)) != r.kept.sum.Hex) {
		return n, r.kept.lost(errDamaged)
	}
	return n, err //nolint:wrapcheck // names the file
}

func (r *reader) Close() error { return r.file.Close() } //nolint:wrapcheck // names the file
