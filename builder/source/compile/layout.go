package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/merge"
)

// earliest is the time of files when SOURCE_DATE_EPOCH is 0, which some tools take for "not there".
var earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// layOut fetches the sources and writes them into the work folder.
func (r *Resolved) layOut(ctx context.Context, work string) error {
	var parts []merge.Part
	for _, in := range r.inputs {
		if n := in.resolved.Pending(); n != 0 {
			r.options.log().Info("fetching", "source", in.Origin, "platform", r.platform.String(), "bytes", n)
		}
		tree, err := in.resolved.Tree(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", in.Origin, err)
		}
		parts = append(parts, merge.Part{
			Tree: relativeLinks(tree), Include: in.Include, Exclude: in.Exclude, Destination: in.Destination, Origin: in.Origin,
		})
	}
	tree, err := merge.Build(parts)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(work)
	if err != nil {
		return fmt.Errorf("lay out sources: %w", err)
	}
	defer root.Close()
	w := &layout{root: root, time: earliest, buf: make([]byte, 256<<10)}
	if r.options.Created.After(earliest) {
		w.time = r.options.Created
	}
	for i := range tree.Entries {
		if err := errors.Join(ctx.Err(), w.write(&tree.Entries[i])); err != nil {
			return fmt.Errorf("lay out sources: %w", err)
		}
	}
	return nil
}

// relativeLinks makes absolute symlinks lead to the same place below the tree's root, wherever that will lie: the
// command sees no other root than the machine's.
func relativeLinks(t builder.Tree) builder.Tree {
	t.Entries = slices.Clone(t.Entries)
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Type != builder.Symlink || !path.IsAbs(e.Link) {
			continue
		}
		up := strings.Repeat("../", strings.Count(e.Path, "/"))
		e.Link = path.Clean(up + strings.TrimPrefix(path.Clean(e.Link), "/"))
	}
	return t
}

// layout writes entries below a folder, never above it.
type layout struct {
	root *os.Root
	time time.Time
	buf  []byte
}

func (w *layout) write(e *builder.Entry) error {
	name := filepath.FromSlash(e.Path)
	switch e.Type {
	case builder.Dir:
		return w.root.MkdirAll(name, 0o755)
	case builder.Symlink:
		return w.root.Symlink(e.Link, name)
	case builder.Hardlink:
		return w.root.Link(filepath.FromSlash(e.Link), name)
	default:
		return w.file(name, e)
	}
}

func (w *layout) file(name string, e *builder.Entry) (err error) {
	in, err := e.Content.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := w.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, os.FileMode(e.Mode&0o777|0o200))
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, in, w.buf)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	return w.root.Chtimes(name, w.time, w.time)
}
