package compile

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/merge"
	"github.com/pitcrew-dev/pitcrew/builder/source/dir"
	"github.com/pitcrew-dev/pitcrew/builder/source/files"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// maxNamed bounds how many files a warning names.
const maxNamed = 5

// collect adds the outputs. The command may have put anything there.
func (r *Resolved) collect(ctx context.Context, s *scratch, w *pack.Writer) error {
	var parts []merge.Part
	for _, o := range r.options.Outputs {
		tree, err := r.output(ctx, s.work(), o)
		if err != nil {
			return fmt.Errorf("output %s: %w", o.Path, err)
		}
		parts = append(parts, merge.Part{
			Tree: tree, Include: o.Include, Exclude: o.Exclude, Destination: o.Destination, Origin: "output " + o.Path,
		})
	}
	tree, err := merge.Build(parts)
	if err != nil {
		return err
	}
	return r.add(ctx, tree, s.dir, w)
}

// output reads one output as a source would.
func (r *Resolved) output(ctx context.Context, work string, o Output) (builder.Tree, error) {
	info, err := outputInfo(work, o.Path)
	if err != nil {
		return builder.Tree{}, err
	}
	name := filepath.Join(work, filepath.FromSlash(o.Path))
	var source builder.Source = dir.New(name, dir.Options{AbsoluteLinks: true, Exclude: o.Exclude})
	if !info.IsDir() {
		source = files.New(filepath.Dir(name), files.Options{Files: []files.File{{Path: "/" + path.Base(o.Path), From: filepath.Base(name)}}})
	}
	resolved, err := source.Resolve(ctx, r.platform)
	if err != nil {
		return builder.Tree{}, err
	}
	tree, err := resolved.Tree(ctx)
	if err != nil {
		return builder.Tree{}, err
	}
	return tree, checkLinks(tree)
}

// outputInfo looks at an output without following a symlink, nor one on the way to it.
func outputInfo(work, name string) (fs.FileInfo, error) {
	root, err := os.OpenRoot(work)
	if err != nil {
		return nil, fmt.Errorf("open scratch folder: %w", err)
	}
	defer root.Close()
	var info fs.FileInfo
	at := ""
	for element := range strings.SplitSeq(path.Clean(name), "/") {
		at = path.Join(at, element)
		info, err = root.Lstat(filepath.FromSlash(at))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, builder.Errorf(builder.Input, "correct outputs, or make the command write there: its log says what it did",
				"the command left nothing at %s", at)
		case err != nil:
			return nil, builder.Errorf(builder.Input, "correct outputs", "%w", err)
		case info.Mode()&fs.ModeSymlink != 0:
			return nil, builder.Errorf(builder.Input, "name what the link leads to", "%s is a symlink", at)
		}
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, builder.Errorf(builder.Input, "images hold files, folders and links only", "%s is neither a file nor a folder", at)
	}
	return info, nil
}

// checkLinks holds that symlinks stay in the output: others lead to what the image does not have, or has by chance.
func checkLinks(t builder.Tree) error {
	for _, e := range t.Entries {
		to := path.Join(path.Dir(e.Path), e.Link)
		if e.Type == builder.Symlink && (path.IsAbs(e.Link) || to == ".." || strings.HasPrefix(to, "../")) {
			return builder.Errorf(builder.Input, "remove the link, or make what it points to part of the output",
				"%s: symlink to %q leads out of the output", e.Path, e.Link)
		}
	}
	return nil
}

// add stores the entries, and warns of files that would be others in another folder.
func (r *Resolved) add(ctx context.Context, tree builder.Tree, scratch string, w *pack.Writer) error {
	var tied []string
	var size int64
	for i := range tree.Entries {
		e := &tree.Entries[i]
		if err := r.within(i+1, &size, e); err != nil {
			return err
		}
		found, err := r.store(ctx, e, []byte(scratch), w)
		if err != nil {
			return err
		}
		if found {
			tied = append(tied, e.Path)
		}
	}
	if len(tied) > 0 {
		r.options.log().Warn("outputs hold the scratch folder's path: another machine may make others; "+
			"compile with -ffile-prefix-map=$PWD=. or link without rpath", "files", tied[:min(len(tied), maxNamed)], "count", len(tied))
	}
	return nil
}

// within holds the limits.
func (r *Resolved) within(count int, size *int64, e *builder.Entry) error {
	const hint = "raise the limit if the outputs are meant to be so large"
	*size += e.Size
	l := r.options.Limits
	switch {
	case l.MaxSize > 0 && *size > l.MaxSize:
		return builder.Errorf(builder.Input, hint, "the outputs have more than %d bytes", l.MaxSize)
	case l.MaxEntries > 0 && count > l.MaxEntries:
		return builder.Errorf(builder.Input, hint, "the outputs have more than %d entries", l.MaxEntries)
	}
	return nil
}

// store adds one entry, and reports whether its content mentions mark.
func (r *Resolved) store(ctx context.Context, e *builder.Entry, mark []byte, w *pack.Writer) (found bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	switch e.Type {
	case builder.Regular:
	case builder.Hardlink:
		h := &tar.Header{Typeflag: tar.TypeLink, Name: e.Path, Linkname: e.Link}
		return false, w.AddHeader(h, nil, pack.TarOptions{Limits: r.options.Limits})
	default:
		return false, w.Add(*e, nil)
	}
	in, err := e.Content.Open()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	s := &searcher{r: in, mark: mark}
	err = w.Add(*e, s)
	return s.found, err
}

// searcher looks for a text in what is read through it.
type searcher struct {
	r     io.Reader
	mark  []byte
	last  []byte // the end of what was read, one byte less than the text
	found bool
}

func (s *searcher) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if !s.found {
		seam := append(s.last, p[:min(n, len(s.mark)-1)]...)
		s.found = bytes.Contains(seam, s.mark) || bytes.Contains(p[:n], s.mark)
		if n >= len(s.mark) {
			s.last = append(s.last[:0], p[n-len(s.mark)+1:n]...)
		} else {
			s.last = append(s.last[:0], seam[max(0, len(seam)-len(s.mark)+1):]...)
		}
	}
	return n, err
}
