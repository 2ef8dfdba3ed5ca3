package sbom

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

const elfMagic = "\x7fELF"

// readProgram reads what Go's linker wrote into an ELF file. Anything else says nothing.
func readProgram(f *Finding, r io.Reader) (err error) {
	head := make([]byte, len(elfMagic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != elfMagic {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil // shorter than it was
		}
		return err
	}
	// What to read lies anywhere in the file.
	tmp, err := os.CreateTemp("", "pitcrew-program-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmp.Close(), os.Remove(tmp.Name())) }()
	if _, err := io.Copy(tmp, io.MultiReader(bytes.NewReader(head), r)); err != nil {
		return err
	}
	info, err := buildinfo.Read(tmp)
	if err != nil {
		return nil // not built by Go, or not well formed
	}
	f.Program = programOf(info)
	return nil
}

func programOf(info *debug.BuildInfo) *Program {
	p := &Program{GoVersion: info.GoVersion, Main: moduleOf(&info.Main)}
	if p.Main.Path == "" {
		p.Main.Path = info.Path
	}
	for _, m := range info.Deps {
		p.Modules = append(p.Modules, moduleOf(m))
	}
	slices.SortFunc(p.Modules, func(a, b Module) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Version, b.Version))
	})
	return p
}

// moduleOf is the module whose code is in the program.
func moduleOf(m *debug.Module) Module {
	if m.Replace != nil {
		m = m.Replace
	}
	return Module{m.Path, m.Version}
}
