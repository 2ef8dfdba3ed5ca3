package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/debfile"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/inodes"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/tarpack"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// statusDir is where scanners look for packages in images without dpkg.
const statusDir = "var/lib/dpkg/status.d"

// unpackFormat names the rules by which one package becomes a tree in the store.
const unpackFormat = "deb 1"

// packKey is the package's key in the store.
func packKey(p Package) v1.Hash {
	sum := sha256.Sum256([]byte(unpackFormat + "\n" + p.SHA256.String()))
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// unpacked is a package with its files.
type unpacked struct {
	Package
	nodes    []inodes.Node
	replaces replaces
}

func (r *Resolved) unpack(ctx context.Context, p Package) (unpacked, error) {
	key := packKey(p)
	tree, ok, err := r.options.Store.Tree(key)
	if err != nil {
		return unpacked{}, fmt.Errorf("look for package %s: %w", p.file(), err)
	}
	if !ok {
		tree, err = r.options.Store.Fill(ctx, key, func(w *pack.Writer) error { return r.fill(ctx, p, w) })
		if err != nil {
			return unpacked{}, err //nolint:wrapcheck // fill names the package
		}
	}
	contents, err := tarpack.Read(tree)
	if err != nil {
		return unpacked{}, fmt.Errorf("package %s: %w", p.file(), err)
	}
	declared, err := readReplaces(tree, p)
	return unpacked{Package: p, nodes: contents.Nodes, replaces: declared}, err
}

// fill gets the package and writes its files. The downloaded package is removed unless it is to be kept, and in any
// case if it is not the right one.
func (r *Resolved) fill(ctx context.Context, p Package, w *pack.Writer) (err error) {
	name, local := p.localPath()
	if !local {
		if name, err = r.download(ctx, p); err != nil {
			return err
		}
		defer func() {
			if !r.options.KeepDebs || builder.KindOf(err) == builder.Input {
				err = errors.Join(err, os.Remove(name))
			}
		}()
	}
	f, err := os.Open(name)
	if err != nil {
		return openError(p, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return writePackage(ctx, p, f, w)
}

func openError(p Package, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return builder.Errorf(builder.Input, "the mirror's index lists a file that is not there: update the mirror",
			"open package %s: %w", p.file(), err)
	}
	return fmt.Errorf("open package %s: %w", p.file(), err)
}

// writePackage reads a .deb once: its files and description go to w, and it must have the hash of the index.
func writePackage(ctx context.Context, p Package, r io.Reader, w *pack.Writer) (err error) {
	sum := &hashing{r: r, h: sha256.New()}
	d, err := debfile.Open(ctx, p.file(), sum)
	if err != nil {
		return sum.explain(p, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	c := d.Control()
	if c.Package != p.Name || c.Version != p.Version || c.Architecture != p.Architecture {
		return sum.explain(p, builder.Errorf(builder.Input, "update the mirror's index",
			"package %s says of itself to be %s %s (%s)", p.file(), c.Package, c.Version, c.Architecture))
	}
	if err := writeDescription(c, w); err != nil {
		return err
	}
	if err := tarpack.Add(ctx, w, d.Data()); err != nil {
		return sum.explain(p, fmt.Errorf("unpack package %s: %w", p.file(), err))
	}
	if err := d.Finish(); err != nil {
		return sum.explain(p, err)
	}
	return sum.verify(p)
}

func writeDescription(c *debfile.Control, w *pack.Writer) error {
	files := map[string][]byte{"": c.Status()}
	if c.MD5Sums != nil {
		files[".md5sums"] = c.MD5Sums
	}
	for suffix, content := range files {
		e := builder.Entry{
			Path: statusDir + "/" + c.Package + suffix, Type: builder.Regular, Mode: builder.ModeFile, Size: int64(len(content)),
		}
		if err := w.Add(e, bytes.NewReader(content)); err != nil {
			return fmt.Errorf("add description of package %s: %w", c.Package, err)
		}
	}
	return nil
}

// hashing sums and counts what is read.
type hashing struct {
	r io.Reader
	h hash.Hash
	n int64
}

func (s *hashing) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.h.Write(p[:n])
	s.n += int64(n)
	return n, err //nolint:wrapcheck // a reader passes errors on
}

const wrongPackageHint = "the mirror's file differs from its index: try another mirror, or update this one"

// verify compares what was read with the index.
func (s *hashing) verify(p Package) error {
	if got := hex.EncodeToString(s.h.Sum(nil)); got != p.SHA256.Hex || s.n != p.Size {
		return builder.Errorf(builder.Input, wrongPackageHint,
			"package %s has %d bytes with sha256:%s, but the index says %d bytes with %s", p.file(), s.n, got, p.Size, p.SHA256)
	}
	return nil
}

// explain prefers the reason why a package cannot be read that lies deeper: it is not the one that the index means.
func (s *hashing) explain(p Package, err error) error {
	if builder.KindOf(err) != builder.Input {
		return err
	}
	if _, rerr := io.Copy(io.Discard, s); rerr != nil {
		return err
	}
	if mismatch := s.verify(p); mismatch != nil {
		return mismatch
	}
	return err
}
