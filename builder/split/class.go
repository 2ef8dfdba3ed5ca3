package split

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

const (
	stored     = "none"
	compressed = "zstd:3"
	// storeAbove is the ratio above which compressing costs every node more than it saves. Measured on SuperTuxKart:
	// png 0.991, ogg 0.992 and jpg 0.972 lie above it, the next class (spm) at 0.499.
	storeAbove = 900
	// A class is measured on this many files, spread over the path list, and so much of each.
	sampleFiles = 24
	sampleBytes = 256 << 10
)

// class groups files by what their extension says of them; "-" is no extension.
func class(e *builder.Entry) string { return extensionOf(e.Path) }

func extensionOf(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if len(ext) < 2 || len(ext) > 12 || strings.ContainsFunc(ext, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "-"
	}
	return ext
}

// chooseCodecs measures each class once; what the lock measured stays.
func chooseCodecs(ctx context.Context, tree builder.Tree, prev *lock.Lock, o Options) (map[string]string, []lock.Class, error) {
	if o.Codec != Auto {
		return nil, nil, nil
	}
	known := map[string]lock.Class{}
	if prev != nil {
		for _, c := range prev.Classes {
			known[c.Ext] = c
		}
	}
	files := map[string][]*builder.Entry{}
	for e := range tree.Files() {
		files[class(e)] = append(files[class(e)], e)
	}
	codecs := map[string]string{}
	var classes []lock.Class
	for _, ext := range slices.Sorted(maps.Keys(files)) {
		c, ok := known[ext]
		if !ok {
			var err error
			if c, err = measure(ctx, ext, files[ext], o); err != nil {
				return nil, nil, err
			}
		}
		classes = append(classes, c)
		codecs[ext] = compressed
		if c.Store {
			codecs[ext] = stored
		}
	}
	return codecs, classes, nil
}

func measure(ctx context.Context, ext string, files []*builder.Entry, o Options) (lock.Class, error) {
	var in, out int64
	step := max(1, len(files)/sampleFiles)
	for i := 0; i < len(files); i += step {
		a, b, err := o.Measure(ctx, files[i], sampleBytes)
		if err != nil {
			return lock.Class{}, fmt.Errorf("%s: %w", files[i].Path, err)
		}
		in, out = in+a, out+b
	}
	c := lock.Class{Ext: ext}
	if in > 0 {
		c.Ratio = int(min(out*1000/in, 9999))
	}
	c.Store = c.Ratio > storeAbove
	return c, nil
}
