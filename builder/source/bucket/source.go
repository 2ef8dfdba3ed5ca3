package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Options are what all places in stores need.
type Options struct {
	// CacheDir is where objects are kept, in the folder objects.
	CacheDir string
	// Wait bounds the wait before another attempt; 0 means a bound that grows to 20 s.
	Wait time.Duration
}

// Source is the objects below a prefix.
type Source struct {
	options  Options
	location Location
}

// New makes a source of a location, at which there need not be anything yet.
func New(location string, options Options) (*Source, error) {
	l, err := Parse(location)
	return &Source{options, l}, err
}

// Resolve lists the objects, and reads none. It is the same for every platform. A prefix without objects is an Input error, and
// so is a key that cannot be a path.
func (s *Source) Resolve(ctx context.Context, _ v1.Platform) (builder.Resolved, error) {
	l := s.location
	dir, prefix := l, l.Path
	if l.Scheme == "file" {
		dir.Path, prefix = path.Join(l.Path, "x"), ""
	} else if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	f, objects, err := s.options.list(ctx, dir, prefix)
	if err != nil {
		return nil, err
	}
	f.location = l
	objects = slices.DeleteFunc(objects, func(o object) bool { return o.key == prefix }) // stands for the folder itself
	if len(objects) == 0 {
		return nil, builder.Errorf(builder.Input, "check the location: "+locationHint, "there is no object below %s", l)
	}
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = strings.TrimPrefix(o.key, prefix)
	}
	at, err := places(keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l, err)
	}
	for i, p := range at {
		if p.folder && objects[i].size > 0 {
			return nil, builder.Errorf(builder.Input, "rename the object", "%s: object %.200q has the name of a folder, and content", l, objects[i].key)
		}
	}
	return &Resolved{fetcher: f, objects: objects, places: at}, nil
}

// list opens a location and lists it.
func (o *Options) list(ctx context.Context, l Location, prefix string) (*fetcher, []object, error) {
	b, err := o.open(ctx, l)
	if err != nil {
		return nil, nil, err
	}
	f := &fetcher{options: o, location: l, bucket: b, cache: cache{path.Join(o.CacheDir, "objects")}, slots: make(chan struct{}, parallel)}
	objects, err := list(ctx, b, l, prefix)
	return f, objects, err
}

// Resolved is a set of objects in the state that they were listed in. It is a [builder.Resolved].
type Resolved struct {
	fetcher *fetcher
	objects []object
	places  []place
}

// InputDigest is of the paths, sizes and checksums that the store lists. Nothing is read for it. Stores that list no checksums
// make it depend on when an object was uploaded.
func (r *Resolved) InputDigest(context.Context) (v1.Hash, error) {
	h := sha256.New()
	fmt.Fprintln(h, "bucket 1")
	for i, o := range r.objects {
		fmt.Fprintf(h, "%q %t %d %q\n", r.places[i].path, r.places[i].folder, o.size, o.content)
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, nil
}

// Pending is the size of the objects that are not in the cache.
func (r *Resolved) Pending() int64 { return r.fetcher.pending(r.objects) }

func (f *fetcher) pending(objects []object) int64 {
	var n int64
	for i := range objects {
		if _, ok := f.find(&objects[i]); !ok {
			n += objects[i].size
		}
	}
	return n
}

// Remote reports that objects may have to be fetched.
func (r *Resolved) Remote() bool { return true }

// Pins is empty: what was listed is in the input digest.
func (r *Resolved) Pins() []builder.Pin { return nil }

// Materials is the location with the digest of what was listed.
func (r *Resolved) Materials() []builder.Material {
	digest, err := r.InputDigest(context.Background())
	if err != nil {
		return nil
	}
	return []builder.Material{{URI: r.fetcher.location.String(), Digest: digest}}
}

// Tree fetches the objects that are not in the cache. All files have mode 0644. An object that is another one by now is an Input
// error that matches [builder.ErrChanged] and names it; access that is refused is one of kind Auth, and a store that fails for
// good one of kind Transient.
func (r *Resolved) Tree(ctx context.Context) (builder.Tree, error) {
	var files []object
	for i, o := range r.objects {
		if !r.places[i].folder {
			files = append(files, o)
		}
	}
	got, err := r.fetcher.all(ctx, files)
	if err != nil {
		return builder.Tree{}, err
	}
	entries := map[string]builder.Entry{}
	for _, p := range r.places {
		e := builder.Entry{Path: p.path, Type: builder.Dir, Mode: builder.ModeDir}
		if !p.folder {
			k := got[0]
			got = got[1:]
			e = builder.Entry{Path: p.path, Type: builder.Regular, Mode: builder.ModeFile, Size: k.size, SHA256: k.sum, Content: k}
		}
		entries[p.path] = e
		for dir := parent(p.path); dir != ""; dir = parent(dir) {
			entries[dir] = builder.Entry{Path: dir, Type: builder.Dir, Mode: builder.ModeDir}
		}
	}
	return sorted(entries), nil
}

func sorted(entries map[string]builder.Entry) builder.Tree {
	var t builder.Tree
	for _, e := range entries {
		t.Entries = append(t.Entries, e)
	}
	slices.SortFunc(t.Entries, func(a, b builder.Entry) int { return strings.Compare(a.Path, b.Path) })
	return t
}
