package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hierarchies are where cgroups are mounted: several of version 1, or one of version 2.
func hierarchies() []string {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(raw)) {
		before, after, _ := strings.Cut(line, " - ")
		if kind, _, _ := strings.Cut(after, " "); kind == "cgroup" || kind == "cgroup2" {
			if f := strings.Fields(before); len(f) > 4 {
				found = append(found, f[4])
			}
		}
	}
	return found
}

// makeCgroup makes one at the root of every hierarchy, with all processors and memory.
func makeCgroup(name string) error {
	for _, h := range hierarchies() {
		own := filepath.Join(h, name)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // of version 1, where they begin empty
			all, err := os.ReadFile(filepath.Join(h, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(own, file), all, 0o600)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// removeCgroups removes those at the root of a hierarchy whose names begin so, with all below them. Nobody may be in them.
func removeCgroups(begin string) error {
	var left []error
	for _, h := range hierarchies() {
		tops, err := filepath.Glob(filepath.Join(h, begin+"*"))
		if err != nil {
			return err
		}
		for _, top := range tops {
			var all []string
			err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					all = append(all, path)
				}
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			})
			left = append(left, err)
			for _, path := range slices.Backward(all) {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					left = append(left, err)
				}
			}
		}
	}
	return errors.Join(left...)
}
