package archive

import (
	"context"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/listing"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
	"github.com/pitcrew-dev/pitcrew/internal/fetch"
)

// Objects are an archive's pieces in an object store, in order and in the state that they were listed in.
type Objects interface {
	// Contents identify the pieces' bytes.
	Contents() []string
	// Pending is the number of bytes that Fetch would get from elsewhere.
	Pending() int64
	// Fetch returns files of this machine with the pieces' bytes, and their digests.
	Fetch(ctx context.Context) (names []string, sums []v1.Hash, err error)
}

// Options are what a pipeline and its caller can say about an archive. Exactly one of Path, Parts, URL and Objects is set; Root,
// Store, Hash and, for a URL, SHA256, CacheDir and Fetch are required.
type Options struct {
	// Root is the folder that Path and Parts are relative to.
	Root string
	// Path is a local file; it may be absolute.
	Path string
	// Parts are doublestar globs. The files of each are joined in natural order: part-2 before part-10.
	Parts []string
	// URL is http or https.
	URL string
	// Objects lists the pieces in an object store, which messages call ObjectsName.
	Objects     func(context.Context) (Objects, error)
	ObjectsName string
	// SHA256 is what the whole archive must have, in lower case hexadecimal. It may be "" for local files and
	// objects.
	SHA256 string
	// Format is one of Formats, or "" to tell by the first bytes.
	Format Format
	// StripComponents drops so many leading folders of every name, and what has no more.
	StripComponents int
	Limits          pack.Limits
	// Store keeps the unpacked archive.
	Store *pack.Store
	// Memo knows digests of the files in a folder from earlier builds. The caller saves it. Func and result may be nil.
	Memo func(folder string) *memo.Memo
	// Hash sets the SHA256 of the files it is given.
	Hash listing.Hash
	// CacheDir is where downloads are kept, in archives/SHA256.
	CacheDir string
	Fetch    *fetch.Client
}

// Source is an archive.
type Source struct{ options Options }

// New makes a source of an archive, which need not exist yet.
func New(options Options) *Source { return &Source{options: options} }

// Resolve finds the archive's files, and reads none. It is the same for every platform. Its errors of kind Input name
// the file that is missing or unreadable.
func (s *Source) Resolve(ctx context.Context, _ v1.Platform) (builder.Resolved, error) {
	r := &Resolved{options: &s.options}
	names := []string{s.options.Path}
	switch {
	case s.options.Objects != nil:
		var err error
		if r.objects, err = s.options.Objects(ctx); err != nil {
			return nil, r.failed(err)
		}
		return r, nil
	case s.options.URL != "":
		return r, nil
	case s.options.Path == "":
		var err error
		if names, err = findParts(s.options.Root, s.options.Parts); err != nil {
			return nil, err
		}
	}
	local, err := s.pin(names)
	if err != nil {
		return nil, err
	}
	r.local = local
	return r, nil
}

func (s *Source) pin(names []string) (volume, error) {
	var v volume
	for _, name := range names {
		if !filepath.IsAbs(name) {
			name = filepath.Join(s.options.Root, name)
		}
		f, err := pin(name)
		if err != nil {
			return nil, err
		}
		if s.options.Memo != nil {
			f.Memo = s.options.Memo(f.Root)
		}
		v = append(v, f)
	}
	return v, nil
}

// name is what messages call the archive.
func (o *Options) name() string {
	switch {
	case o.ObjectsName != "":
		return "archive " + o.ObjectsName
	case o.URL != "":
		return "archive " + filepath.Base(strings.SplitN(o.URL, "?", 2)[0])
	case o.Path != "":
		return "archive " + o.Path
	default:
		return "archive " + strings.Join(o.Parts, " ")
	}
}
