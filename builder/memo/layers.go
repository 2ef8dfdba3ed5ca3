package memo

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bounds of the layer store; the entries that were not used for longest go first.
const (
	maxLayers    = 20_000
	maxLayerSize = 64 << 10 // one entry on disk
)

// KnownLayer is a layer that was made before.
type KnownLayer struct {
	Descriptor v1.Descriptor `json:"descriptor"`
	DiffID     v1.Hash       `json:"diffID"`
}

// Layers remembers by a layer's key (a digest of its entries and codec) which layer that made. It is safe for
// concurrent use, and a nil Layers remembers nothing.
type Layers struct {
	file string

	mu      sync.Mutex
	known   map[string]storedLayer
	clock   int // orders entries by their last use
	changed bool
}

type storedLayer struct {
	text string // a KnownLayer as JSON
	used int
}

// OpenLayers reads the layer store in cacheDir. The Layers is always usable; an error tells why it starts empty
// although there is a file.
func OpenLayers(cacheDir string) (*Layers, error) {
	l := &Layers{file: filepath.Join(cacheDir, "layers.memo")}
	lines, err := readLayers(l.file)
	l.known = make(map[string]storedLayer, len(lines))
	for _, line := range lines {
		l.clock++
		l.known[line.key] = storedLayer{line.text, l.clock}
	}
	return l, err
}

// Get returns the layer with this key.
func (l *Layers) Get(key v1.Hash) (KnownLayer, bool) {
	var known KnownLayer
	if l == nil {
		return known, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, ok := l.known[key.String()]
	if !ok || json.Unmarshal([]byte(stored.text), &known) != nil || !known.complete() {
		return KnownLayer{}, false
	}
	l.clock++
	l.known[key.String()] = storedLayer{stored.text, l.clock}
	return known, true
}

func (k KnownLayer) complete() bool {
	return k.Descriptor.Digest != v1.Hash{} && k.DiffID != v1.Hash{} && k.Descriptor.MediaType != "" && k.Descriptor.Size >= 0
}

// Put notes the layer that has this key. An incomplete or absurdly large descriptor is not noted.
func (l *Layers) Put(key v1.Hash, known KnownLayer) {
	if l == nil || key == (v1.Hash{}) || !known.complete() {
		return
	}
	text, err := json.Marshal(known)
	if err != nil || len(text) > maxLayerSize {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = l.changed || l.known[key.String()].text != string(text)
	l.clock++
	l.known[key.String()] = storedLayer{string(text), l.clock}
}

// Save writes the store if it gained something. What another build added to the file meanwhile is kept.
func (l *Layers) Save() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.changed {
		return nil
	}
	if err := writeFrame(l.file, encodeLayers(l.merged())); err != nil {
		return err
	}
	l.changed = false
	return nil
}

// layerLine is one line of the payload: key, space, JSON. Lines are ordered by last use, oldest first.
type layerLine struct{ key, text string }

// merged is what the file should hold: what others have put there since, then ours by last use.
func (l *Layers) merged() []layerLine {
	onDisk, _ := readLayers(l.file) // a damaged file is about to be replaced
	lines := slices.DeleteFunc(onDisk, func(line layerLine) bool {
		_, ours := l.known[line.key]
		return ours
	})
	keys := slices.SortedFunc(maps.Keys(l.known), func(a, b string) int { return l.known[a].used - l.known[b].used })
	for _, key := range keys {
		lines = append(lines, layerLine{key, l.known[key].text})
	}
	return newest(lines)
}

// newest is the end of lines that keeps within the bounds.
func newest(lines []layerLine) []layerLine {
	first, size := len(lines), 0
	for first > 0 && len(lines)-first < maxLayers {
		size += len(lines[first-1].key) + len(lines[first-1].text) + 2
		if size > maxFrameSize/2 {
			break
		}
		first--
	}
	return lines[first:]
}

func encodeLayers(lines []layerLine) []byte {
	frame := newFrame(kindLayers, len(lines)*512)
	for _, line := range lines {
		frame = fmt.Appendf(frame, "%s %s\n", line.key, line.text)
	}
	return frame
}

func readLayers(file string) ([]layerLine, error) {
	payload, err := readFrame(file, kindLayers)
	if err != nil {
		return nil, err
	}
	lines, err := decodeLayers(string(payload))
	if err != nil {
		return nil, fmt.Errorf("ignore memo %s: %w", file, err)
	}
	return newest(lines), nil
}

// decodeLayers splits a payload into lines; the JSON is looked at when it is asked for.
func decodeLayers(payload string) ([]layerLine, error) {
	var lines []layerLine
	for line := range strings.Lines(payload) {
		key, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || key == "" || !strings.HasSuffix(line, "\n") {
			return nil, errDamaged
		}
		lines = append(lines, layerLine{key, text})
	}
	return lines, nil
}
