package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/builder/prune"
)

func TestPruneDeletesWhatNoRecentImageIsMadeOf(t *testing.T) {
	dir, reg := project(t), testRegistry(t)
	file := filepath.Join(dir, "pipeline.yaml")
	build := func(tag string) {
		t.Helper()
		mustBuild(t, dir, "--registry", reg, "--plain-http", "--tag", tag)
	}
	pruned := func(extra ...string) prune.Plan {
		t.Helper()
		var p prune.Plan
		if code, stderr := builderRun(t, &p, append([]string{"prune", "-f", file, "--registry", reg, "--plain-http"}, extra...)...); code != 0 {
			t.Fatalf("prune: exit %d\n%s", code, stderr)
		}
		return p
	}
	build("1.9")
	write(t, dir, "amd64/bin/game", "amd64 code, better") // arm64 stays: both indexes list its manifest
	build("1.10")
	write(t, dir, "assets/tex/a.png", noise(77))
	build("1.11")

	if p := pruned(); len(p.Delete) != 0 || cmp.Diff([]string{"1.11", "1.10", "1.9"}, p.Kept) != "" {
		t.Errorf("with 20 images to keep: %+v, want nothing to delete", p)
	}
	p := pruned("--keep", "1")
	kinds := map[string]int{}
	for _, i := range p.Delete {
		kinds[i.Kind+" "+strings.TrimPrefix(i.Repository, reg+"/")]++
	}
	// The old code image with its amd64 manifest, and the old assets with both manifests; what they are made of, and the files.
	want := map[string]int{
		"phase image game": 1, "manifest game": 1, "phase image game-assets": 1, "manifest game-assets": 2,
		"attached game": 2, "attached game-assets": 3,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("to delete (-want +got):\n%s", diff)
	}
	if again := pruned("--keep", "1"); cmp.Diff(p, again) != "" {
		t.Error("a dry run changed something")
	}

	if p := pruned("--keep", "1", "--delete"); !p.Deleted {
		t.Error("not deleted")
	}
	if p := pruned("--keep", "1"); len(p.Delete) != 0 {
		t.Errorf("afterwards there is still %+v", p.Delete)
	}
	for _, tag := range []string{"1.9", "1.10", "1.11"} { // server images stay, with all they need
		if code, stderr := builderRun(t, nil, "verify", fmt.Sprintf("%s/game:%s", reg, tag), "--plain-http"); code != 0 {
			t.Errorf("verify %s: exit %d\n%s", tag, code, stderr)
		}
	}
	if code, stderr := builderRun(t, nil, "compose", "-f", file, "--registry", reg, "--plain-http", "--cache-dir", filepath.Join(dir, ".cache"), "--tag", "x"); code != 0 {
		t.Errorf("compose of the phase images that stayed: exit %d\n%s", code, stderr)
	}
}

func TestPruneWithoutServerImagesDeletesNothing(t *testing.T) {
	dir, reg := project(t), testRegistry(t)
	mustBuild(t, dir, "--registry", reg, "--plain-http", "--phase", "code")
	code, stderr := builderRun(t, nil, "prune", "-f", filepath.Join(dir, "pipeline.yaml"), "--registry", reg, "--plain-http", "--delete")
	if code != 3 || !strings.Contains(stderr, "has no server image") {
		t.Errorf("exit %d, want 3: every phase image would be deleted\n%s", code, stderr)
	}
}
