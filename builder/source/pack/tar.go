package pack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// TarOptions say how to read a tar stream.
type TarOptions struct {
	// StripComponents drops so many leading folders of every name, and what has no more.
	StripComponents int
	Limits          Limits
	// KeepAbsoluteLinks takes symlinks that lead out of the archive, which are refused otherwise: those with absolute
	// targets, and relative ones that climb above the root.
	KeepAbsoluteLinks bool
	// OnEntry may leave an entry out. Names in the header are clean already, and not stripped.
	OnEntry func(h *tar.Header) (skip bool, err error)
	// Packed is how many bytes of the packed archive were read to make the stream. Without it Limits.MaxRatio is not
	// looked at.
	Packed func() int64
	// EndMark refuses a stream without the null block that ends a tar archive: it may have been cut between two entries.
	EndMark bool
}

const truncated = "the archive is truncated: get or make it anew"

// AddTar adds a tar stream's entries up to the archive's end mark; what follows is not read. GNU and PAX long names are
// known, and sparse files become whole. These are errors of kind Input that name the entry:
//
//   - a name that is absolute, has .., a null byte, or more than 4096 bytes
//   - an entry behind a symlink of the archive, or below what is no folder
//   - a symlink out of the archive (but see TarOptions), a hard link to what is not in the archive before it
//   - a device node, FIFO or socket
//   - more than the limits allow; an archive that is cut short or damaged
func (w *Writer) AddTar(ctx context.Context, r io.Reader, o TarOptions) error {
	w.limits = o.Limits.orDefault()
	if o.Packed != nil {
		r = &ratioGuard{r: r, packed: o.Packed, ratio: w.limits.MaxRatio}
	}
	in := &position{r: r}
	tr := tar.NewReader(in)
	last := "" // entry
	for {
		if err := ctx.Err(); err != nil {
			return err //nolint:wrapcheck // the caller's own
		}
		next := (in.n + 511) / 512 * 512 // where the next header begins
		h, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF) && o.EndMark && in.n < next+512:
			return builder.Errorf(builder.Input, truncated, "read archive: it ends behind entry %.80q without an end mark", last)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return classify(fmt.Errorf("read archive behind entry %.80q: %w", last, err))
		}
		last = h.Name
		if err := w.AddHeader(h, tr, o); err != nil {
			return classify(err)
		}
		if _, err := io.CopyBuffer(io.Discard, tr, w.buf); err != nil { // of an entry that was left out
			return classify(fmt.Errorf("entry %.80q: %w", last, err))
		}
	}
}

// classify tells whose fault an error is that came from the stream.
func classify(err error) error {
	if _, ok := errors.AsType[*builder.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return builder.Errorf(builder.Input, truncated, "%w: the archive is cut short", err)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return builder.Errorf(builder.Input, hostile, "%w", err)
	}
	return err
}

// position counts the bytes read.
type position struct {
	r io.Reader
	n int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	return n, err //nolint:wrapcheck // a reader passes errors on
}

// AddHeader adds one entry of an archive of any kind that was described in the words of tar, under the rules of AddTar.
// Limits are for what was added so far, whatever the header says.
func (w *Writer) AddHeader(h *tar.Header, body io.Reader, o TarOptions) (err error) {
	w.limits = o.Limits.orDefault()
	if h.Typeflag == tar.TypeXGlobalHeader {
		return w.count(h.Name)
	}
	if err := cleanHeader(h); err != nil {
		return err
	}
	name := strip(h.Name, o.StripComponents)
	if name == "" && (h.Name != "" || h.Typeflag == tar.TypeDir) {
		return w.count(h.Name) // the root, or stripped
	}
	if o.OnEntry != nil {
		if skip, err := o.OnEntry(h); skip || err != nil {
			return errors.Join(err, w.count(h.Name))
		}
	}
	return w.addNamed(name, h, body, o)
}

// cleanHeader normalises what is a path in the archive.
func cleanHeader(h *tar.Header) (err error) {
	if h.Name, err = cleanName(h.Name); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		target, err := cleanName(h.Linkname)
		if err != nil {
			return refused(h.Name, hostile, "hard link: %w", err)
		}
		h.Linkname = target
	}
	return nil
}

func (w *Writer) addNamed(name string, h *tar.Header, body io.Reader, o TarOptions) error {
	e := builder.Entry{Path: name, Mode: uint32(h.Mode & 0o7777)} //nolint:gosec // masked
	switch h.Typeflag {
	case tar.TypeDir:
		e.Type = builder.Dir
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.Type = builder.Regular
		if h.Size > w.limits.MaxSize-w.offset {
			return w.tooLarge(h.Name) // before any of it is written
		}
		if o.Packed != nil { // a sparse file can be more than the stream
			body = &ratioGuard{r: body, packed: o.Packed, ratio: w.limits.MaxRatio, n: w.offset}
		}
	case tar.TypeSymlink:
		e.Type, e.Link = builder.Symlink, h.Linkname
		if err := checkLink(name, h.Linkname, o.KeepAbsoluteLinks); err != nil {
			return err
		}
	case tar.TypeLink:
		return w.addHardlink(name, strip(h.Linkname, o.StripComponents), o.KeepAbsoluteLinks)
	default:
		return refused(h.Name, "images hold files, folders and links only: leave it out of the archive", "%s", special(h.Typeflag))
	}
	return w.Add(e, body)
}

// addHardlink adds a further record of the same bytes: which name is the first is tar's order, not the tree's.
func (w *Writer) addHardlink(name, target string, outside bool) error {
	i, ok := w.byPath[target]
	if !ok || w.records[i].kind == builder.Dir {
		return refused(name, hostile, "hard link to %.80q, which is not a file before it in the archive", target)
	}
	r := w.records[i]
	r.path = name
	if err := checkPath(name); err != nil {
		return err
	}
	if r.kind == builder.Symlink {
		if err := checkLink(name, r.link, outside); err != nil {
			return err
		}
	}
	if err := w.count(name); err != nil {
		return err
	}
	return w.put(r)
}

func special(typeflag byte) string {
	switch typeflag {
	case tar.TypeChar, tar.TypeBlock:
		return "it is a device node"
	case tar.TypeFifo:
		return "it is a FIFO"
	default:
		return "its type is not known"
	}
}
