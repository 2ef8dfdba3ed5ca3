// Package debfiletest makes small Debian packages for tests.
package debfiletest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Deb is a package to be made. The zero values of Version and Architecture mean "1.0" and "all".
type Deb struct {
	Package, Version, Architecture string
	// Fields are further lines of the control file, each ending in a newline.
	Fields string
	// MD5Sums is the md5sums file; none if it is empty.
	MD5Sums string
	// Files are the entries of the data archive.
	Files []tar.Header
	// Contents are those of regular files, by name.
	Contents map[string]string
	// Compression is "", "gz", "xz" or "zst".
	Compression string
}

// File is a regular file's header.
func File(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}
}

// Folder is a directory's header.
func Folder(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}

// Link is a symlink's header.
func Link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
}

// Control is the package's control file.
func (d Deb) Control() string {
	return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Nobody <nobody@example.com>\n%sDescription: made for a test\n",
		d.Package, d.version(), d.arch(), d.Fields)
}

// FileName is the name that a mirror would give the package.
func (d Deb) FileName() string {
	return fmt.Sprintf("%s_%s_%s.deb", d.Package, strings.ReplaceAll(d.version(), ":", "%3a"), d.arch())
}

func (d Deb) version() string {
	if d.Version == "" {
		return "1.0"
	}
	return d.Version
}

func (d Deb) arch() string {
	if d.Architecture == "" {
		return "all"
	}
	return d.Architecture
}

// Bytes makes the package. It panics if the tar headers cannot be written.
func (d Deb) Bytes() []byte {
	control := []tar.Header{Folder("./"), File("./control")}
	contents := map[string]string{"./control": d.Control()}
	if d.MD5Sums != "" {
		control = append(control, File("./md5sums"))
		contents["./md5sums"] = d.MD5Sums
	}
	suffix := ""
	if d.Compression != "" {
		suffix = "." + d.Compression
	}
	return Archive(
		Member{"debian-binary", []byte("2.0\n")},
		Member{"control.tar" + suffix, Compress(d.Compression, Tar(control, contents))},
		Member{"data.tar" + suffix, Compress(d.Compression, Tar(d.Files, d.Contents))},
	)
}

// Member is a member of an ar archive.
type Member struct {
	Name    string
	Content []byte
}

// Archive makes an ar archive.
func Archive(members ...Member) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.Name, 0, 0, 0, "100644", len(m.Content))
		b.Write(m.Content)
		if len(m.Content)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// Tar makes a tar archive.
func Tar(headers []tar.Header, contents map[string]string) []byte {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(contents[h.Name]))
		}
		must(t.WriteHeader(&h))
		_, err := io.WriteString(t, contents[h.Name][:h.Size])
		must(err)
	}
	must(t.Close())
	return b.Bytes()
}

// Compress packs content with "gz", "xz", "zst" or, if that is empty, not at all.
func Compress(compression string, content []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch compression {
	case "":
		return content
	case "gz":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "zst":
		w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	default:
		err = fmt.Errorf("no such compression: %q", compression)
	}
	must(err)
	_, err = w.Write(content)
	must(err)
	must(w.Close())
	return b.Bytes()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
