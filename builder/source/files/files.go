package files

import (
	"cmp"
	"context"
	"errors"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/listing"
)

// File is one path of the image. Exactly one of Content (not nil, maybe empty), From, Link and Dir is set.
type File struct {
	// Path is where it goes, relative to the image's root or, meaning the same, starting with one slash.
	Path string
	// Content is the file's content.
	Content []byte
	// From is the file in the repository to take the content from: slash-separated, below the pipeline's folder.
	// Symlinks on the way must not lead out of that folder.
	From string
	// Link is a symlink's target, kept as written.
	Link string
	// Dir asks for a folder.
	Dir bool
	// Mode holds the permission bits, setuid, setgid and sticky included; 0 means 0755 for folders and for
	// executable files of the repository, 0644 for other files. Symlinks have none.
	Mode uint32
}

// Options are the files, and how to hash those that come from the repository. Hash is required.
type Options struct {
	Files []File
	Hash  listing.Hash
}

// Source is a list of files.
type Source struct {
	dir     string
	options Options
}

// New makes a source of files; dir is the pipeline's folder, below which each From is looked for.
func New(dir string, options Options) *Source {
	return &Source{dir: dir, options: options}
}

// Resolve looks at the files of the repository, the same for every platform, without reading them. The tree holds the
// listed paths only: folders above them are for whoever merges it with others to add. All faults are reported
// together, as a [builder.Error] of kind Config if the list is wrong, or Input if a file is.
func (s *Source) Resolve(ctx context.Context, _ v1.Platform) (builder.Resolved, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := validate(s.options.Files); err != nil {
		return nil, err
	}
	entries := make([]builder.Entry, len(s.options.Files))
	var errs []error
	for i := range s.options.Files {
		var err error
		entries[i], err = s.entry(&s.options.Files[i])
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b builder.Entry) int { return cmp.Compare(a.Path, b.Path) })
	return listing.New(entries, s.options.Hash), nil
}
