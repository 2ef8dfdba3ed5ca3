package verify

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

// contents is what is remembered of a layer that was read.
type contents struct {
	// changes are what the layer does to the tree, in order.
	changes []change
	// findings are what its files say.
	findings []sbom.Finding
}

// change is one entry of a layer.
type change struct {
	path string
	kind byte    // as in tar.Header; 0: it deletes
	sum  v1.Hash // of an asset file, if the files are listed somewhere
}

// visitor remembers what there is to compare later.
func (c *checker) visitor(l inspect.Layer) func(layer.Visited) error {
	own := &contents{}
	c.mu.Lock()
	c.contents[l.Descriptor.Digest] = own
	c.mu.Unlock()
	listed := l.Phase == builder.Assets && c.attached.files != nil
	return func(v layer.Visited) error { return own.visit(v, listed) }
}

// visit remembers an entry: with the file's digest, if it is listed somewhere.
func (o *contents) visit(v layer.Visited, listed bool) error {
	ch := change{path: v.Path, kind: v.Type}
	if v.Deleted {
		ch.kind = 0
	}
	if ch.kind != tar.TypeReg || !listed {
		o.changes = append(o.changes, ch)
		return o.look(v)
	}
	sum := sha256.New()
	v.Content = io.TeeReader(v.Content, sum)
	if err := o.look(v); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, v.Content); err != nil {
		return err
	}
	ch.sum = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	o.changes = append(o.changes, ch)
	return nil
}

// look remembers what a file says.
func (o *contents) look(v layer.Visited) error {
	mode := uint32(v.Mode & 0o7777) //nolint:gosec // bounded
	if v.Deleted || v.Type != tar.TypeReg || !sbom.Wanted(v.Path, mode, v.Size) {
		return nil
	}
	f, ok, err := sbom.Read(v.Path, mode, v.Size, v.Content)
	if ok {
		o.findings = append(o.findings, f)
	}
	return err
}

// assetTree is the assets as a node sees them.
type assetTree struct {
	files map[string]v1.Hash
	dirs  map[string]bool
}

// assets lays a platform's layers over each other, and returns the asset files that a node sees, and what they say.
func (c *checker) assets(p inspect.Platform) (map[string]v1.Hash, []sbom.Finding) {
	t := assetTree{map[string]v1.Hash{}, map[string]bool{}}
	says := map[string]sbom.Finding{}
	for _, l := range p.Layers {
		own := c.contents[l.Descriptor.Digest]
		if own == nil {
			continue
		}
		for _, ch := range own.changes {
			t.apply(ch, l.Phase == builder.Assets)
			delete(says, ch.path)
		}
		for _, f := range own.findings {
			says[f.Path] = f
		}
	}
	var findings []sbom.Finding
	for _, name := range slices.Sorted(maps.Keys(says)) {
		if _, there := t.files[name]; there {
			findings = append(findings, says[name])
		}
	}
	return t.files, findings
}

// apply does what an entry does, of the assets or of another phase: of that no files are kept, but it may hide some.
func (t *assetTree) apply(ch change, asset bool) {
	delete(t.files, ch.path)
	if ch.kind != tar.TypeDir && t.dirs[ch.path] {
		t.clear(ch.path)
	}
	if ch.kind == tar.TypeReg && asset {
		t.files[ch.path] = ch.sum
	}
	if ch.kind == 0 {
		return
	}
	if ch.kind == tar.TypeDir {
		t.dirs[ch.path] = true
	}
	for dir := path.Dir(ch.path); !t.dirs[dir]; dir = path.Dir(dir) {
		t.dirs[dir] = true // deltas do not mention them
	}
}

// clear removes a folder with all that is in it.
func (t *assetTree) clear(dir string) {
	delete(t.dirs, dir)
	for name := range t.files {
		if strings.HasPrefix(name, dir+"/") {
			delete(t.files, name)
		}
	}
	for name := range t.dirs {
		if strings.HasPrefix(name, dir+"/") {
			delete(t.dirs, name)
		}
	}
}
