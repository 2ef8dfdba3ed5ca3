package lock

import (
	"cmp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Lock is the content of assets.lock. The zero Lock remembers nothing.
type Lock struct {
	Classes []Class
	Images  []Image
	Layers  []Layer
	// Files are sorted by path, and by layer.
	Files []File
	// Gone are the whiteouts of delta layers.
	Gone []Gone
}

// Class is the measured policy for files with one extension.
type Class struct {
	Ext   string // lower case with its dot; "-" stands for none
	Store bool   // stored, not compressed
	// Ratio is the compressed size over the size, in thousandths.
	Ratio int
}

// Image pins what a mutable image name stood for.
type Image struct {
	Name   string
	Digest v1.Hash
}

// Layer is a layer with its bytes' identity.
type Layer struct {
	ID                  int
	Kind                string // "base" or "delta"
	Codec               string
	Key, Digest, DiffID v1.Hash
	Size                int64
}

// File is one entry of a layer, also one that a layer above replaces or deletes.
type File struct {
	Layer    int
	Type     byte // 'f' file, 'd' directory, 'l' symlink, 'h' hard link
	Mode     uint32
	UID, GID int
	Size     int64
	// SHA256 is in hexadecimal: of a file's content, of a symlink's target, of a hard link's target with its content; "-" for
	// a directory.
	SHA256 string
	Path   string
}

// Gone is a path that a delta layer deletes.
type Gone struct {
	Layer int
	Path  string
}

// ByKey finds the layer with a key.
func (l *Lock) ByKey(key v1.Hash) (Layer, bool) {
	for _, have := range l.Layers {
		if have.Key == key {
			return have, true
		}
	}
	return Layer{}, false
}

// Sort puts files into the order that the format wants.
func (l *Lock) Sort() {
	slices.SortFunc(l.Files, func(a, b File) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Layer, b.Layer))
	})
}

// Pin notes what a mutable image name stands for now. Other names keep their pins.
func (l *Lock) Pin(name string, digest v1.Hash) {
	images := slices.DeleteFunc(slices.Clone(l.Images), func(i Image) bool { return i.Name == name })
	images = append(images, Image{Name: name, Digest: digest})
	slices.SortFunc(images, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	l.Images = images
}
