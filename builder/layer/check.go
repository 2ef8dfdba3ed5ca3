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
// docs/contract.md, "Determinism". A delta may delete, and may lack folders above its entries. touch, which may be nil, is told
// every path that the layer writes or deletes. All entries have the time epoch; if that is zero, the first one's. Check returns
// an error if the stream cannot be read as tar.
func Check(r io.Reader, epoch time.Time, delta bool, fault, touch func(string)) error {
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
		if touch != nil {
			name := strings.TrimSuffix(h.Name, "/")
			touch(path.Join(path.Dir(name), strings.TrimPrefix(path.Base(name), whiteoutPrefix)))
		}
	}
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
