package bucket

import (
	"context"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/internal/natural"
)

// Files are objects that make up one thing, such as the parts of an archive, in an order.
type Files struct {
	groups []group
}

// group is the objects of one location.
type group struct {
	fetcher *fetcher
	objects []object
}

// NewFiles lists the objects of locations whose last part may have stars, each location's in natural order: part-2 before
// part-10. A location without objects is an Input error.
func NewFiles(ctx context.Context, options Options, locations ...string) (*Files, error) {
	var out Files
	for _, text := range locations {
		l, err := Parse(text)
		if err != nil {
			return nil, err
		}
		g, err := options.glob(ctx, l)
		if err != nil {
			return nil, err
		}
		out.groups = append(out.groups, g)
	}
	return &out, nil
}

func (o *Options) glob(ctx context.Context, l Location) (group, error) {
	pattern := l.Path
	if l.Scheme == "file" {
		pattern = path.Base(l.Path)
	}
	prefix, _, _ := strings.Cut(pattern, "*")
	f, objects, err := o.list(ctx, l, prefix)
	if err != nil {
		return group{}, err
	}
	objects = slices.DeleteFunc(objects, func(o object) bool { return !matches(pattern, o.key) })
	if len(objects) == 0 {
		return group{}, builder.Errorf(builder.Input, "check the location: "+locationHint, "there is no object %s", l)
	}
	slices.SortFunc(objects, func(a, b object) int { return natural.Compare(a.key, b.key) })
	return group{f, objects}, nil
}

// matches knows stars only, which stand for anything but a slash.
func matches(pattern, key string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == key
	}
	tail, ok := strings.CutPrefix(key, head)
	for i := 0; ok && i <= len(tail); i++ {
		if matches(rest, tail[i:]) {
			return true
		}
		if i < len(tail) && tail[i] == '/' {
			return false
		}
	}
	return false
}

// Contents identify the objects' bytes, in their order, as far as the stores tell.
func (f *Files) Contents() []string {
	var out []string
	for _, g := range f.groups {
		for _, o := range g.objects {
			out = append(out, o.content)
		}
	}
	return out
}

// Pending is the size of the objects that are not in the cache.
func (f *Files) Pending() int64 {
	var n int64
	for _, g := range f.groups {
		n += g.fetcher.pending(g.objects)
	}
	return n
}

// Fetch returns where the objects are on this machine, with their digests, after fetching those that are not. Its errors are
// those of [Resolved.Tree].
func (f *Files) Fetch(ctx context.Context) (names []string, sums []v1.Hash, err error) {
	for _, g := range f.groups {
		got, err := g.fetcher.all(ctx, g.objects)
		if err != nil {
			return nil, nil, err
		}
		for _, k := range got {
			names, sums = append(names, k.file), append(sums, k.sum)
		}
	}
	return names, sums, nil
}
