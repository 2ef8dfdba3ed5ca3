package bucket

import (
	"path"
	"strings"
	"testing"
)

// FuzzKeys holds that keys give clean paths that do not stand in each other's way, or an error.
func FuzzKeys(f *testing.F) {
	f.Add("a/b\na/c/\nd")
	f.Add("../x\n/abs\na//b")
	f.Add("a\na/b")
	f.Fuzz(func(t *testing.T, text string) {
		at, err := places(strings.Split(text, "\n"))
		if err != nil {
			return
		}
		files := map[string]bool{}
		for _, p := range at {
			if p.path != path.Clean(p.path) || path.IsAbs(p.path) || p.path == ".." || strings.HasPrefix(p.path, "../") || p.path == "." {
				t.Errorf("path %q", p.path)
			}
			if !p.folder {
				files[p.path] = true
			}
		}
		for _, p := range at {
			for dir := path.Dir(p.path); dir != "."; dir = path.Dir(dir) {
				if files[dir] {
					t.Errorf("%q lies in the file %q", p.path, dir)
				}
			}
		}
	})
}
