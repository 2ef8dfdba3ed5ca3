package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// Check reads a layer's tar stream and tells fault of each way in which it is not as this package writes it: see
// docs/contract.md, "Determinism". A delta may delete, and may lack folders above its entries. visit, which may be nil, is shown
// every entry. All entries have the time epoch; if that is zero, the first one's. Check returns an error if the stream cannot
// be read as tar, or visit's.
func Check(r io.Reader, epoch time.Time, delta bool, fault func(string), visit func(Visited) error) error {
	c := &streamCheck{epoch: epoch.UTC().Truncate(time.Second), delta: delta, dirs: map[string]bool{".": true}, fault: fault}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("behind entry %.80q: %w", c.last, err)
		}
		c.entry(h)
		if visit == nil {
			continue
		}
		if err := visit(visited(h, tr)); err != nil {
			return err
		}
	}
}

// Visited is an entry of a layer that is read.
type Visited struct {
	// Path is what the entry writes or, if Deleted is set, deletes.
	Path    string
	Deleted bool
	Type    byte // as in [tar.Header]
	Mode    int64
	Size    int64
	// Content is a regular file's; it can be read until visit returns.
	Content io.Reader
}

func visited(h *tar.Header, r io.Reader) Visited {
	name := strings.TrimSuffix(h.Name, "/")
	base, deleted := strings.CutPrefix(path.Base(name), whiteoutPrefix)
	return Visited{path.Join(path.Dir(name), base), deleted, h.Typeflag, h.Mode, h.Size, r}
}

type streamCheck struct {
	delta bool
	epoch time.Time // that entries must have
	last  string
	dirs  map[string]bool
	fault func(string)
}

func (c *streamCheck) entry(h *tar.Header) {
	name := strings.TrimSuffix(h.Name, "/")
	say := func(format string, args ...any) { c.fault(fmt.Sprintf("%.80q ", name) + fmt.Sprintf(format, args...)) }
	if name <= c.last {
		say("does not sort behind %.80q", c.last)
	}
	if c.last == "" && c.epoch.IsZero() {
		c.epoch = h.ModTime.Truncate(time.Second)
	}
	c.last = name
	if name != path.Clean(name) || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
		say("is not a clean relative path")
	}
	if strings.HasPrefix(path.Base(name), whiteoutPrefix) && (!c.delta || h.Typeflag != tar.TypeReg || h.Size != 0) {
		say("deletes, in a layer that may not, or has content")
	}
	if !c.delta && !c.dirs[path.Dir(name)] {
		say("has no parent directory before it")
	}
	if h.Typeflag == tar.TypeDir {
		c.dirs[name] = true
	}
	if !strings.ContainsRune(string([]byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink}), rune(h.Typeflag)) {
		say("has type %q", h.Typeflag)
	}
	if !h.ModTime.Equal(c.epoch) {
		say("was modified at %s, not %s", h.ModTime.UTC().Format(time.RFC3339Nano), c.epoch.UTC().Format(time.RFC3339))
	}
	if h.Uname != "" || h.Gname != "" {
		say("names its owner %q:%q", h.Uname, h.Gname)
	}
	c.records(h, say)
}

// records holds that extended headers say only what USTAR could not.
func (c *streamCheck) records(h *tar.Header, say func(string, ...any)) {
	if h.Format == tar.FormatGNU {
		say("is in GNU format")
	}
	for key := range h.PAXRecords {
		switch key {
		case "path", "linkpath", "size", "uid", "gid":
		default:
			say("has the PAX record %q", key)
		}
	}
}
