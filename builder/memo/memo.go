package memo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Memo remembers the digests of the files below one root folder. It is safe for concurrent use, and a nil Memo
// remembers nothing. Open one per root and build, and share it between the sources that read that root: Save drops
// what this Memo was not asked about.
type Memo struct {
	file, root string

	mu      sync.Mutex
	records map[string]*record
	used    bool // something was looked up or remembered
	changed bool // something was remembered that the file does not hold
}

// record is what is known of one path.
type record struct {
	stat Stat
	sum  [sha256.Size]byte
	seen bool
}

// Open reads what the last build remembered of root from cacheDir. The Memo is always usable; an error tells why it
// starts empty although there is a file.
func Open(cacheDir, root string) (*Memo, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		abs = filepath.Clean(root)
	}
	name := sha256.Sum256([]byte(abs))
	m := &Memo{
		file:    filepath.Join(cacheDir, "files-"+hex.EncodeToString(name[:16])+".memo"),
		root:    abs,
		records: map[string]*record{},
	}
	payload, err := readFrame(m.file, kindFiles)
	if err != nil || payload == nil {
		return m, err
	}
	records, err := decodeRecords(payload, abs)
	if err != nil {
		return m, fmt.Errorf("ignore memo %s: %w", m.file, err)
	}
	m.records = records
	return m, nil
}

// Lookup returns the digest of the file at path (relative to the root) if it was remembered in this very state.
func (m *Memo) Lookup(path string, s Stat) (v1.Hash, bool) {
	if m == nil {
		return v1.Hash{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = true
	r, ok := m.records[path]
	if !ok || !r.stat.Same(s) {
		return v1.Hash{}, false
	}
	r.seen = true
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(r.sum[:])}, true
}

// Remember notes the digest of the file at path in the state s. A racy file is not noted: one whose mtime or ctime is
// within two seconds of s.Taken could be written to once more without its stat showing it.
func (m *Memo) Remember(path string, s Stat, sha256 v1.Hash) {
	if m == nil || s.racy() || path == "" || len(path) > maxPathSize {
		return
	}
	r := &record{stat: s, seen: true}
	if sha256.Algorithm != "sha256" || len(sha256.Hex) != 2*len(r.sum) {
		return
	}
	if _, err := hex.Decode(r.sum[:], []byte(sha256.Hex)); err != nil {
		return
	}
	r.stat.Taken = 0
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used, m.changed = true, true
	m.records[path] = r
}

// Save writes what was looked up with success or remembered since Open, and forgets the rest. It writes nothing if
// that is what the file holds, or if the Memo was not used at all (a build that failed before it came to that).
func (m *Memo) Save() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.used {
		return nil
	}
	before := len(m.records)
	maps.DeleteFunc(m.records, func(_ string, r *record) bool { return !r.seen })
	if !m.changed && len(m.records) == before {
		return nil
	}
	paths := slices.Sorted(maps.Keys(m.records))
	if err := writeFrame(m.file, encodeRecords(m.root, paths, m.records)); err != nil {
		m.changed = true
		return err
	}
	m.changed = false
	return nil
}
