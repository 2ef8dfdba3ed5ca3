package dir

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/listing"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/pinned"
)

// Options are what a pipeline and its caller can say about a folder. Hash is required.
type Options struct {
	// Memo knows digests from earlier builds; it must be about the same folder. The caller saves it. It may be nil.
	Memo *memo.Memo
	// AbsoluteLinks keeps symlinks with absolute targets, which are refused otherwise.
	AbsoluteLinks bool
	// Exclude are doublestar globs on paths below the folder. What they match is neither listed nor read nor
	// complained about. A pattern that ends in "/**" keeps the walk from entering the folder at all; a folder
	// that matches in another way is listed all the same, since files below it may not match.
	Exclude []string
	// Hash sets the SHA256 of the files it is given.
	Hash listing.Hash
}

// Source is a local folder.
type Source struct {
	root    string
	options Options
}

// New makes a source of the folder root, which need not exist yet.
func New(root string, options Options) *Source {
	return &Source{root: root, options: options}
}

// Resolve walks the folder, the same way for every platform. It returns a [builder.Error] of kind Input that names
// every path that cannot be part of an image or cannot be read.
func (s *Source) Resolve(ctx context.Context, _ v1.Platform) (builder.Resolved, error) {
	exclude, err := newExcluder(s.options.Exclude)
	if err != nil {
		return nil, err
	}
	found, err := s.walk(ctx, exclude)
	if err != nil {
		return nil, err
	}
	return listing.New(s.entries(found), s.options.Hash), nil
}

func (s *Source) walk(ctx context.Context, exclude excluder) ([]node, error) {
	root, err := pinned.OpenRoot(s.root)
	if err != nil {
		return nil, rootError(s.root, err)
	}
	defer root.Close()
	w := &walker{
		root: root, name: s.root, exclude: exclude, absoluteLinks: s.options.AbsoluteLinks, started: time.Now(),
	}
	return w.walk(ctx)
}

func rootError(root string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "create the folder or correct the source's path in the pipeline file"
	case errors.Is(err, syscall.ENOTDIR):
		hint = "use an archive source for an archive, or a files source for a single file"
	case errors.Is(err, fs.ErrPermission):
		hint = "make the folder and those above it readable for the user who builds"
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // the message below names the folder better
	}
	return builder.Errorf(builder.Input, hint, "read folder %q: %w", root, err)
}
