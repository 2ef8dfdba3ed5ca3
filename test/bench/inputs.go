package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// inputs is what all contenders work on.
type inputs struct {
	root  string // the repository
	work  string // everything that is made here
	tree  string // SuperTuxKart's data
	files []string
	// edited is the texture that changes.
	edited string
}

// groups is how many COPY layers BuildKit gets.
const groups = 16

func sh(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

func prepare(ctx context.Context, root string) (*inputs, error) {
	in := &inputs{root: root, work: filepath.Join(root, ".cache", "bench")}
	in.tree = filepath.Join(in.work, "tree")
	if err := os.MkdirAll(filepath.Join(in.work, "bin"), 0o755); err != nil {
		return nil, err
	}
	for _, pkg := range []string{"supertuxkart-data", "supertuxkart", "busybox-static"} {
		if err := unpackPackage(ctx, in.work, pkg); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(os.Stderr, "building builder and BuildKit")
	if err := sh(ctx, root, "make", "build"); err != nil {
		return nil, err
	}
	err := sh(ctx, filepath.Join(root, "test/bench/buildkit"), "go", "build", "-o", filepath.Join(in.work, "bin")+"/",
		"github.com/moby/buildkit/cmd/buildkitd", "github.com/moby/buildkit/cmd/buildctl")
	if err != nil {
		return nil, err
	}
	if err := in.lay(); err != nil {
		return nil, err
	}
	// A file that was written less than two seconds before it is looked at is never taken for unchanged.
	time.Sleep(3 * time.Second)
	return in, in.warm()
}

func unpackPackage(ctx context.Context, work, pkg string) error {
	dir := filepath.Join(work, pkg)
	if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := sh(ctx, dir, "apt-get", "download", pkg); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("%s: %d packages, %w", pkg, len(debs), err)
	}
	if err := sh(ctx, dir, "dpkg-deb", "-x", debs[0], "root"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "done"), nil, 0o600)
}

// lay puts the data into one tree, in 16 groups of about the same size by path, as a careful Dockerfile would: BuildKit
// copies each group as one layer, builder sees one folder.
func (in *inputs) lay() error {
	if err := os.RemoveAll(in.tree); err != nil {
		return err
	}
	from := filepath.Join(in.work, "supertuxkart-data", "root", "usr", "share", "games", "supertuxkart")
	var total int64
	sizes := map[string]int64{}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		in.files = append(in.files, rel)
		sizes[rel] = info.Size()
		total += info.Size()
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(in.files)
	var sum int64
	for _, rel := range in.files {
		group := fmt.Sprintf("g%02d", min(groups-1, int(sum*groups/total)))
		sum += sizes[rel]
		dst := filepath.Join(in.tree, group, rel)
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			return err
		}
		if err := copyFile(filepath.Join(from, rel), dst); err != nil {
			return err
		}
		if in.edited == "" && filepath.Ext(rel) == ".png" && filepath.Base(filepath.Dir(rel)) == "textures" && sizes[rel] > 300_000 {
			in.edited = dst
		}
	}
	if in.edited == "" {
		return errors.New("no texture to edit was found")
	}
	return nil
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	_, err = io.Copy(dst, src)
	return err
}

// warm reads everything once, so that every contender finds it in the page cache.
func (in *inputs) warm() error {
	return filepath.WalkDir(in.tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(io.Discard, f)
		return err
	})
}

// edit changes one texture: every call gives it other bytes.
func (in *inputs) edit(n int) error {
	raw, err := os.ReadFile(in.edited)
	if err != nil {
		return err
	}
	for i := range 64 {
		raw[len(raw)/2+i] = byte(n*31 + i*7)
	}
	return os.WriteFile(in.edited, raw, 0o644)
}
