package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
)

const artistPipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: game}
platforms: [linux/amd64, linux/arm64]
repository: game
tags: ["1"]
phases:
  assets:
    sources: [{dir: {path: assets}, destination: /game/data}]
    split: {layers: 3, maxDeltas: 5}
    compression: %s
  server:
    sources:
      - {files: [{path: /game/bin/server, content: "run"}, {path: /game/data/own/server.xml, content: "port"}]}
      - {dir: {path: server}, destination: /game/data, include: ["**"]}
`

// Whatever artists did before, a node sees what a fresh build would have given it. The layers are applied by containerd's
// own code.
func TestWhateverTheHistoryTheTreeIsThatOfAFreshBuild(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			a := &artist{t: t, r: r, root: t.TempDir()}
			if err := os.MkdirAll(filepath.Join(a.root, "server"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, a.root, "pipeline.yaml", fmt.Sprintf(artistPipeline, []string{"auto", "none", "zstd"}[seed%3]))
			for range 30 {
				a.add()
			}
			var log []string
			deltas := 0
			for commit := range 36 {
				if commit > 0 {
					for range 1 + r.IntN(4) {
						log = append(log, a.edit())
					}
				}
				out := filepath.Join(a.root, "out.oci")
				if a.collides() { // which a build refuses: the server team gives way
					a.must(os.RemoveAll(filepath.Join(a.root, "server")))
					a.must(os.Mkdir(filepath.Join(a.root, "server"), 0o755))
					log = append(log, "server gives way")
				}
				mustBuild(t, a.root, "--layout", out)
				raw, err := os.ReadFile(filepath.Join(a.root, "assets.lock"))
				a.must(err)
				n := strings.Count(string(raw), " delta ")
				deltas = max(deltas, n)
				if n > 5 {
					t.Errorf("commit %d: %d delta layers, want at most maxDeltas", commit, n)
				}
				if commit%4 != 3 {
					continue
				}
				fresh := filepath.Join(t.TempDir(), "fresh.oci")
				mustBuild(t, a.root, "--layout", fresh, "--lock", filepath.Join(t.TempDir(), "none.lock"))
				if diff := cmp.Diff(unpacked(t, fresh), unpacked(t, out)); diff != "" {
					t.Fatalf("after commit %d (-fresh +with history):\n%s\nedits:\n%s", commit, diff, strings.Join(log, "\n"))
				}
				if code, stderr := builderRun(t, nil, "verify", "oci:"+out+":1"); code != 0 {
					t.Fatalf("verify: exit %d\n%s", code, stderr)
				}
			}
			if deltas < 5 {
				t.Errorf("never more than %d delta layers: no merge was tested", deltas)
			}
		})
	}
}

// unpacked is what a node sees of the first platform's image: each path with type, mode, and content or target.
func unpacked(t *testing.T, dir string) map[string]string {
	t.Helper()
	return unpackedAt(t, dir, "1")
}

func unpackedAt(t *testing.T, dir, reference string) map[string]string {
	t.Helper()
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	img, err := inspect.Load(t.Context(), l, reference)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, y := range img.Platforms[0].Layers {
		apply(t, l, y.Descriptor, root)
	}
	out := map[string]string{}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			raw, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += " " + fmt.Sprintf("%.40q %d", raw, len(raw))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		rel, err := filepath.Rel(root, name)
		out[rel] = line
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func apply(t *testing.T, l *layout.Layout, d v1.Descriptor, root string) {
	t.Helper()
	body, err := l.OpenBlob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	plain, err := layer.Decode(d.MediaType, body)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := archive.Apply(context.Background(), root, plain, archive.WithNoSameOwner()); err != nil {
		t.Fatalf("apply %s: %v", d.Digest, err)
	}
}

// artist edits a tree at random.
type artist struct {
	t    *testing.T
	r    *rand.Rand
	root string
	n    int
}

func (a *artist) path(rel string) string { return filepath.Join(a.root, "assets", rel) }

// pick is a path that is there, and what it is.
func (a *artist) pick(want func(fs.DirEntry) bool) (string, bool) {
	var found []string
	root := filepath.Join(a.root, "assets")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		if want(d) {
			rel, err := filepath.Rel(root, name)
			found = append(found, rel)
			return err
		}
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	if len(found) == 0 {
		return "", false
	}
	slices.Sort(found)
	return found[a.r.IntN(len(found))], true
}

// collides reports whether the artists have no folder where the server team has one.
func (a *artist) collides() bool {
	for _, name := range []string{"conf", "tex", "tracks", "tracks/a", "gone"} {
		_, err := os.Lstat(filepath.Join(a.root, "server", name))
		if info, aerr := os.Lstat(a.path(name)); err == nil && aerr == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

func regular(d fs.DirEntry) bool { return d.Type().IsRegular() }
func folder(d fs.DirEntry) bool  { return d.IsDir() }
func anything(fs.DirEntry) bool  { return true }

func (a *artist) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// name is a new path, in a folder that may be new; some look like whiteouts, or sort oddly.
func (a *artist) name() string {
	a.n++
	dir := []string{"tex", "tracks/a", "tracks/b", "tracks/a-b", "conf", "x.y", "-dash", "deep/er/still"}[a.r.IntN(8)]
	base := []string{"f%d.png", "wh.%d", "..wh.%d", "F%d.PNG", "-%d", "%d!", "é%d.xml"}[a.r.IntN(7)]
	return dir + "/" + fmt.Sprintf(base, a.n%25)
}

func (a *artist) add() string {
	name := a.name()
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) { // a file may be where a folder has to be
		if info, err := os.Lstat(a.path(dir)); err == nil && !info.IsDir() {
			a.must(os.Remove(a.path(dir)))
		}
	}
	a.must(os.RemoveAll(a.path(name)))
	a.n++
	write(a.t, a.root, "assets/"+name, strings.Repeat(fmt.Sprint(a.n), 1+a.r.IntN(20_000)))
	return "add " + name
}

func (a *artist) edit() string {
	file, ok := a.pick(regular)
	if !ok {
		return a.add()
	}
	switch a.r.IntN(12) {
	case 0, 1, 2:
		a.n++
		write(a.t, a.root, "assets/"+file, strings.Repeat(fmt.Sprint(a.n), 1+a.r.IntN(20_000)))
		return "edit " + file
	case 3, 4:
		return a.add()
	case 5:
		a.must(os.Remove(a.path(file)))
		return "delete " + file
	case 6: // also to a name that differs in case only
		to := filepath.Join(filepath.Dir(file), strings.ToUpper(filepath.Base(file)))
		if a.r.IntN(2) == 0 {
			to = file + "x"
		}
		if _, err := os.Lstat(a.path(to)); err == nil {
			return "nothing"
		}
		a.must(os.Rename(a.path(file), a.path(to)))
		return "rename " + file + " to " + to
	case 7: // a file or folder becomes the other
		name, _ := a.pick(anything)
		info, err := os.Lstat(a.path(name))
		a.must(err)
		a.must(os.RemoveAll(a.path(name)))
		if info.IsDir() {
			write(a.t, a.root, "assets/"+name, "was a folder")
			return "folder to file " + name
		}
		write(a.t, a.root, "assets/"+name+"/inside", "was a file")
		return "file to folder " + name
	case 8:
		a.must(os.Chmod(a.path(file), []fs.FileMode{0o600, 0o755}[a.r.IntN(2)]))
		return "chmod " + file
	case 9:
		a.must(os.Remove(a.path(file)))
		target := []string{"one", "../two", "three/four"}[a.r.IntN(3)]
		a.must(os.Symlink(target, a.path(file)))
		return "symlink " + file + " to " + target
	case 10:
		dir, _ := a.pick(folder)
		a.must(os.RemoveAll(a.path(dir)))
		if a.r.IntN(2) == 0 {
			a.must(os.MkdirAll(a.path(dir), 0o755))
			return "empty " + dir
		}
		return "delete folder " + dir
	default: // the server team writes where assets are, or were
		name := fmt.Sprintf("%s/team%d", []string{"conf", "tex", "tracks/a", "gone"}[a.r.IntN(4)], a.r.IntN(3))
		if info, err := os.Lstat(a.path(filepath.Dir(name))); err == nil && !info.IsDir() {
			return "nothing"
		}
		write(a.t, a.root, "server/"+name, fmt.Sprint("server ", a.n))
		return "server writes " + name
	}
}

func TestALockOfAnotherRegistryIsPlannedAgain(t *testing.T) {
	dir := project(t)
	first, second := filepath.Join(t.TempDir(), "a.oci"), filepath.Join(t.TempDir(), "b.oci")
	mustBuild(t, dir, "--layout", first)
	write(t, dir, "assets/tex/c.png", noise(99)) // so that a base layer holds what is gone
	mustBuild(t, dir, "--layout", first)
	var foretold struct{ Digest string }
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{
		"plan", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", second, "--output", "json",
	}, func(string) string { return "" }, &out, &errs); code != 10 {
		t.Fatalf("plan: exit %d\n%s", code, errs.String())
	}
	decode(t, out.String(), &foretold)
	if res := mustBuild(t, dir, "--layout", second); res.Digest != foretold.Digest {
		t.Errorf("plan foretold %s, the build gave %s", foretold.Digest, res.Digest)
	}
	if diff := cmp.Diff(unpacked(t, first), unpacked(t, second)); diff != "" {
		t.Errorf("the other layout's image (-first +second):\n%s", diff)
	}
}

func TestCompactLeavesNoDelta(t *testing.T) {
	dir := project(t)
	out := filepath.Join(t.TempDir(), "a.oci")
	fresh := mustBuild(t, dir, "--layout", filepath.Join(t.TempDir(), "b.oci"), "--lock", filepath.Join(t.TempDir(), "none"))
	write(t, dir, "assets/tex/c.png", noise(99))
	mustBuild(t, dir, "--layout", out)
	write(t, dir, "assets/tex/c.png", noise(2)) // as it was
	if with := mustBuild(t, dir, "--layout", out); with.Digest == fresh.Digest {
		t.Fatal("there is no history: nothing is shown")
	}
	if res := mustBuild(t, dir, "--layout", out, "--compact"); res.Digest != fresh.Digest {
		raw, _ := json.Marshal(res)
		t.Errorf("compacted: %s, want the digest of a fresh build, %s", raw, fresh.Digest)
	}
}

func TestVerifyFindsADeltaThatTouchesAnotherPhase(t *testing.T) {
	dir := project(t)
	out := filepath.Join(t.TempDir(), "a.oci")
	mustBuild(t, dir, "--layout", out)
	l, err := layout.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	img, err := inspect.Load(t.Context(), l, "1")
	if err != nil {
		t.Fatal(err)
	}
	bad, err := layer.NewDelta(nil, []string{"bin/game"}, layer.None, img.Platforms[0].ConfigFile.Created.Time)
	if err != nil {
		t.Fatal(err)
	}
	put, err := l.PutBlob(t.Context(), bad)
	if err != nil {
		t.Fatal(err)
	}
	put.Descriptor.Annotations = map[string]string{
		builder.AnnotationPhase: "assets", builder.AnnotationLayerKind: builder.KindDelta, builder.AnnotationLayerKey: put.Descriptor.Digest.String(),
	}
	var platforms []compose.Platform
	for _, p := range img.Platforms {
		c := compose.Platform{Platform: p.Platform}
		for _, phase := range []builder.Phase{builder.Assets, builder.Code, builder.Server} {
			part, ok := p.Part(phase)
			if !ok {
				t.Fatalf("no part of %s", phase)
			}
			if phase == builder.Assets {
				part.Layers = append(part.Layers, compose.Layer{Descriptor: put.Descriptor, DiffID: put.Descriptor.Digest})
			}
			c.Parts = append(c.Parts, part)
		}
		platforms = append(platforms, c)
	}
	index, err := compose.Build(platforms, compose.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range index.Images {
		if err := os.WriteFile(filepath.Join(out, "blobs", "sha256", i.ConfigDescriptor.Digest.Hex), i.Config, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.PutManifest(t.Context(), string(i.ManifestDescriptor.MediaType), i.Manifest); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.PutManifest(t.Context(), string(index.Descriptor.MediaType), index.Raw); err != nil {
		t.Fatal(err)
	}
	if err := l.Tag(t.Context(), "bad", index.Descriptor, index.Raw); err != nil {
		t.Fatal(err)
	}
	if code, stderr := builderRun(t, nil, "verify", "oci:"+out+":bad"); code != 3 || !strings.Contains(stderr, `touches "bin/game" of phase code`) {
		t.Errorf("verify: exit %d, want 3 and the path\n%s", code, stderr)
	}
}
