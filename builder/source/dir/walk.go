package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/pinned"
)

// Bounds of a walk. A longer path could not be unpacked on a node; more entries are a mistake in the pipeline.
const (
	maxPathSize = 4095
	maxEntries  = 2_000_000
	maxParallel = 8 // folders read at once: enough to hide a slow disk
	namesAtOnce = 4096
)

// node is one path that the walk found: a folder, a regular file or a symlink.
type node struct {
	path string
	link string // a symlink's target
	stat pinned.Stat
}

func (n *node) is(fileType uint32) bool { return n.stat.Mode&syscall.S_IFMT == fileType }

type walker struct {
	root          *os.Root
	name          string // of the root, for messages
	exclude       excluder
	absoluteLinks bool
	started       time.Time // no later than any stat
	group         *errgroup.Group

	mu       sync.Mutex
	found    []node
	problems problems
}

// walk lists everything below the root in byte order of the paths.
func (w *walker) walk(ctx context.Context) ([]node, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	w.group = group
	group.Go(func() error { return w.folder(ctx, nil) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := w.problems.err(w.name); err != nil {
		return nil, err
	}
	slices.SortFunc(w.found, func(a, b node) int { return strings.Compare(a.path, b.path) })
	return w.found, nil
}

// folder lists dir, nil for the root, and what is below it, partly in other goroutines of the group.
func (w *walker) folder(ctx context.Context, dir *node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	nodes, err := w.list(dir)
	if err != nil {
		return err
	}
	if err := w.add(nodes); err != nil {
		return err
	}
	for i := range nodes {
		if !nodes[i].is(syscall.S_IFDIR) {
			continue
		}
		below := func() error { return w.folder(ctx, &nodes[i]) }
		if w.group.TryGo(below) {
			continue
		}
		if err := below(); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) add(nodes []node) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.found)+len(nodes) > maxEntries {
		return w.tooMany()
	}
	w.found = append(w.found, nodes...)
	return nil
}

func (w *walker) tooMany() error {
	return builder.Errorf(builder.Input, "name a smaller folder, or exclude what is not part of the image",
		"read folder %q: more than %d entries", w.name, maxEntries)
}

// list returns the entries of one folder in no particular order. What is wrong with them goes to the problems.
func (w *walker) list(dir *node) ([]node, error) {
	dirPath := "."
	if dir != nil {
		dirPath = dir.path
	}
	f, err := w.root.OpenFile(dirPath, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, w.unreadable(dirPath, err)
	}
	defer f.Close()
	if err := w.sameFolder(f, dir); err != nil {
		return nil, err
	}
	var nodes []node
	for {
		names, err := f.Readdirnames(namesAtOnce)
		switch {
		case err == io.EOF: //nolint:errorlint // as Readdirnames promises it
			return nodes, nil
		case err != nil:
			return nil, w.unreadable(dirPath, err)
		case len(nodes) > maxEntries:
			return nil, w.tooMany()
		}
		if nodes, err = w.appendEntries(nodes, f, dir, names); err != nil {
			return nil, err
		}
	}
}

func (w *walker) appendEntries(nodes []node, parent *os.File, dir *node, names []string) ([]node, error) {
	nodes = slices.Grow(nodes, len(names))
	for _, name := range names {
		var err error
		if nodes, err = w.appendEntry(nodes, parent, dir, name); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// sameFolder refuses a folder that was put in the place of the one that the walk saw.
func (w *walker) sameFolder(f *os.File, dir *node) error {
	if dir == nil {
		return nil
	}
	stat, err := pinned.Fstat(f, w.started)
	if err != nil {
		return w.unreadable(dir.path, err)
	}
	if stat.Inode != dir.stat.Inode || stat.Dev != dir.stat.Dev {
		return pinned.Changed(w.name, dir.path)
	}
	return nil
}

func (w *walker) appendEntry(nodes []node, parent *os.File, dir *node, name string) ([]node, error) {
	n := node{path: name}
	if dir != nil {
		n.path = dir.path + "/" + name
	}
	if len(n.path) > maxPathSize {
		w.note(func(p *problems) { p.long = append(p.long, n.path) })
		return nodes, nil
	}
	stat, err := pinned.Lstat(parent, name, w.started)
	if err != nil {
		return nodes, w.unreadable(n.path, err)
	}
	n.stat = stat
	if w.excluded(&n) {
		return nodes, nil
	}
	ok, err := w.accept(&n, parent)
	if ok {
		nodes = append(nodes, n)
	}
	return nodes, err
}

func (w *walker) excluded(n *node) bool {
	if n.is(syscall.S_IFDIR) {
		return w.exclude.covers(n.path)
	}
	return w.exclude.matches(n.path)
}

// accept reports whether n can be part of an image.
func (w *walker) accept(n *node, parent *os.File) (bool, error) {
	switch n.stat.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR, syscall.S_IFREG:
		return true, nil
	case syscall.S_IFLNK:
		target, err := pinned.Readlink(parent, path.Base(n.path))
		if err != nil {
			return false, w.unreadable(n.path, err)
		}
		n.link = target
		if strings.HasPrefix(target, "/") && !w.absoluteLinks {
			w.note(func(p *problems) { p.absolute = append(p.absolute, *n) })
			return false, nil
		}
		return true, nil
	default:
		w.note(func(p *problems) { p.special = append(p.special, *n) })
		return false, nil
	}
}

// unreadable decides what an error about a path means: a problem to be reported with the others, or, if the path is
// no longer what it was a moment ago, the end of the walk.
func (w *walker) unreadable(path string, err error) error {
	errno, ok := errors.AsType[syscall.Errno](err)
	switch {
	case !ok || errno == syscall.ENOENT || errno == syscall.ENOTDIR || errno == syscall.ELOOP || errno == syscall.EINVAL:
		return pinned.Changed(w.name, path)
	case errors.Is(err, fs.ErrPermission):
		w.note(func(p *problems) { p.unreadable = append(p.unreadable, path) })
		return nil
	default:
		return pinned.Failed(w.name, path, err)
	}
}

func (w *walker) note(add func(*problems)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	add(&w.problems)
}
