package archive

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

const (
	maxTarget = 4096 // bytes of a symlink's target
	encrypted = 0x1  // general purpose bit 0, APPNOTE 4.4.4
	// fixedHeader is the length of a local header without name and extra field, APPNOTE 4.3.7.
	fixedHeader = 30
)

const hostileHint = "the archive is damaged or hostile: make it anew"

func unpackZip(ctx context.Context, w *pack.Writer, v volume, o *Options) (err error) {
	in, err := v.openRandom()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	z, err := zip.NewReader(in, v.size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // which names are insecure is the writer's to say
		return zipError(err)
	}
	z.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser { return flate.NewReader(r) })
	z.RegisterDecompressor(zstd.ZipMethodWinZip, zstd.ZipDecompressor(zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20)))
	if err := checkMembers(z.File, o.Limits); err != nil {
		return err
	}
	to := pack.TarOptions{StripComponents: o.StripComponents, Limits: o.Limits, Packed: v.size}
	for _, f := range z.File {
		if err := ctx.Err(); err != nil {
			return err //nolint:wrapcheck // the caller's own
		}
		if err := addMember(w, f, to); err != nil {
			return err
		}
	}
	return nil
}

// checkMembers refuses what programs read in different ways, which is how bombs are made and checks are deceived: two
// members with one name, and members that share bytes.
func checkMembers(members []*zip.File, limits pack.Limits) error {
	if limits.MaxEntries > 0 && len(members) > limits.MaxEntries {
		return builder.Errorf(builder.Input, "raise the limit if the archive is meant to be so large", "it has more than %d entries", limits.MaxEntries)
	}
	type extent struct {
		from, to int64
		name     string
	}
	extents := make([]extent, 0, len(members))
	names := make(map[string]bool, len(members))
	for _, f := range members {
		name := strings.TrimSuffix(f.Name, "/")
		if names[name] {
			return refused(f, "two entries have this name")
		}
		names[name] = true
		data, err := f.DataOffset()
		if err != nil {
			return fmt.Errorf("entry %.80q: %w", f.Name, zipError(err))
		}
		size := int64(f.CompressedSize64) //nolint:gosec // negative is refused below
		if size < 0 || data+size < data {
			return refused(f, "its size is %d", f.CompressedSize64)
		}
		extents = append(extents, extent{data - fixedHeader, data + size, f.Name})
	}
	slices.SortFunc(extents, func(a, b extent) int { return int(min(max(a.from-b.from, -1), 1)) })
	for i := 1; i < len(extents); i++ {
		if extents[i].from < extents[i-1].to {
			return builder.Errorf(builder.Input, hostileHint, "entries %.80q and %.80q share bytes", extents[i-1].name, extents[i].name)
		}
	}
	return nil
}

func addMember(w *pack.Writer, f *zip.File, o pack.TarOptions) error {
	h := &tar.Header{Name: f.Name, Mode: int64(f.Mode().Perm()), Size: int64(f.UncompressedSize64)} //nolint:gosec // checked by count
	switch {
	case f.Flags&encrypted != 0:
		return builder.Errorf(builder.Input, "make the archive without a password", "entry %.80q is encrypted", f.Name)
	case strings.Contains(f.Name, `\`):
		return builder.Errorf(builder.Input, "make the archive with a program that follows the zip standard", `entry %.80q has \ in its name`, f.Name)
	case h.Size < 0:
		return refused(f, "its size is %d", f.UncompressedSize64)
	}
	kind := f.Mode().Type()
	switch kind {
	case 0, fs.ModeDir, fs.ModeSymlink:
	default:
		return builder.Errorf(builder.Input, "images hold files, folders and links only: leave it out of the archive", "entry %.80q is a %s", f.Name, special(kind))
	}
	body, err := f.Open()
	if err != nil {
		return fmt.Errorf("entry %.80q: %w", f.Name, zipError(err))
	}
	defer body.Close()
	in := &member{r: body}
	switch kind {
	case fs.ModeDir:
		h.Typeflag, h.Size = tar.TypeDir, 0
	case fs.ModeSymlink:
		target, err := io.ReadAll(io.LimitReader(in, maxTarget+1))
		if err != nil {
			return fmt.Errorf("entry %.80q: %w", f.Name, err)
		}
		h.Typeflag, h.Size, h.Linkname = tar.TypeSymlink, 0, string(target)
	default:
		h.Typeflag = tar.TypeReg
	}
	return w.AddHeader(h, in, o) //nolint:wrapcheck // names the entry
}

func special(kind fs.FileMode) string {
	switch {
	case kind&fs.ModeDevice != 0:
		return "device node"
	case kind&fs.ModeNamedPipe != 0:
		return "FIFO"
	case kind&fs.ModeSocket != 0:
		return "socket"
	default:
		return "file of unknown type"
	}
}

func refused(f *zip.File, format string, args ...any) error {
	return builder.Errorf(builder.Input, hostileHint, "entry %.80q: "+format, append([]any{f.Name}, args...)...)
}

// member is an entry's content, with errors that say whose fault they are.
type member struct{ r io.Reader }

func (m *member) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // as io.Reader promises it
		err = zipError(err)
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}

func zipError(err error) error {
	if _, ok := errors.AsType[*builder.Error](err); ok {
		return err // of the file
	}
	switch {
	case errors.Is(err, zip.ErrFormat):
		return builder.Errorf(builder.Input, damagedHint, "it is cut short, or no zip archive: %w", err)
	case errors.Is(err, zip.ErrAlgorithm):
		return builder.Errorf(builder.Input, "use deflate, zstd or store", "its compression is not supported: %w", err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return builder.Errorf(builder.Input, damagedHint, "it is cut short: %w", err)
	default:
		return builder.Errorf(builder.Input, damagedHint, "it is damaged: %w", err)
	}
}
