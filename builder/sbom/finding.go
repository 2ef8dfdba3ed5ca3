package sbom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Finding is what one file says about what is in an image.
type Finding struct {
	// Path is the file's, as in [builder.Entry].
	Path string `json:"path"`
	// System is what an os-release file calls the system: "debian-12".
	System string `json:"system,omitempty"`
	// Debs are the packages that a file of dpkg's lists.
	Debs []Deb `json:"debs,omitempty"`
	// Program is set for a program that Go built.
	Program *Program `json:"program,omitempty"`
}

func (f *Finding) empty() bool { return f.System == "" && len(f.Debs) == 0 && f.Program == nil }

// Deb is a Debian package that is installed.
type Deb struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
}

// Program is what Go's linker wrote into a program.
type Program struct {
	GoVersion string   `json:"goVersion"`
	Main      Module   `json:"main"`
	Modules   []Module `json:"modules,omitempty"`
}

// Module is a Go module.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Where systems keep what they say of themselves.
const (
	statusFile   = "var/lib/dpkg/status"
	statusFolder = "var/lib/dpkg/status.d"
)

// maxText bounds what is read of a text file.
const maxText = 64 << 20

// Wanted reports whether a file may say something, by its path, permissions and size: others need not be opened.
func Wanted(name string, mode uint32, size int64) bool {
	return reader(name, mode, size) != nil
}

// Read returns what a file says; ok is false if that is nothing. An error is the reader's own: contents of any form are
// taken as they come.
func Read(name string, mode uint32, size int64, r io.Reader) (f Finding, ok bool, err error) {
	read := reader(name, mode, size)
	if read == nil {
		return f, false, nil
	}
	f.Path = name
	if err := read(&f, r); err != nil {
		return f, false, fmt.Errorf("%s: %w", name, err)
	}
	return f, !f.empty(), nil
}

// reader chooses how a file is read.
func reader(name string, mode uint32, size int64) func(*Finding, io.Reader) error {
	switch {
	case name == statusFile, path.Dir(name) == statusFolder && !strings.HasSuffix(name, ".md5sums"):
		return readStatus
	case name == "etc/os-release", name == "usr/lib/os-release":
		return readRelease
	case mode&0o111 != 0 && size >= int64(len(elfMagic)):
		return readProgram
	}
	return nil
}

// Look returns what a tree's files say, in the order of their paths. It reads only files that are [Wanted].
func Look(ctx context.Context, tree builder.Tree) ([]Finding, error) {
	var out []Finding
	for e := range tree.Files() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !Wanted(e.Path, e.Mode, e.Size) {
			continue
		}
		f, ok, err := look(e)
		if err != nil {
			return nil, fmt.Errorf("look for packages and programs: %w", err)
		}
		if ok {
			out = append(out, f)
		}
	}
	return out, nil
}

func look(e *builder.Entry) (f Finding, ok bool, err error) {
	r, err := e.Content.Open()
	if err != nil {
		return f, false, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return Read(e.Path, e.Mode, e.Size, r)
}
