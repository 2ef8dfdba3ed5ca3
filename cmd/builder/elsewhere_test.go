package main

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder/build"
)

// Runners that push at the same time keep each other's platforms, and a composer needs none of their tools.
func TestRunnersAtTheSameTimeAreComposedWhereThereAreNoTools(t *testing.T) {
	dir, runs := compiled(t, "", cross)
	server := realRegistry(t, nil)
	file := filepath.Join(dir, "pipeline.yaml")
	flags := []string{"-f", file, "--registry", server + "/split", "--plain-http"}
	whole := mustBuild(t, dir, "--registry", server+"/whole", "--plain-http")

	noTools := filepath.Join(dir, "composer.yaml")
	shell(t, dir, `sed 's/\[\[[a-z0-9_-]*g++, --version\]\]/[[no-such-compiler, --version]]/' pipeline.yaml >composer.yaml`)
	composeIt := func() (res build.Result, code int, stderr string) {
		code, stderr = builderRun(t, &res, "compose", "-f", noTools, "--registry", server+"/split", "--plain-http", "--cache-dir", filepath.Join(dir, ".composer"))
		return res, code, stderr
	}
	_, code, stderr := composeIt()
	if code != 3 || !strings.Contains(stderr, "phase code for linux/amd64") || !strings.Contains(stderr, "phase code for linux/arm64") {
		t.Errorf("compose of nothing: exit %d, want 3 and both platforms\n%s", code, stderr)
	}
	var all sync.WaitGroup
	for _, arch := range []string{"amd64", "arm64"} {
		all.Go(func() {
			args := append([]string{"build", "--phase", "code", "--platform", "linux/" + arch, "--cache-dir", filepath.Join(dir, "."+arch)}, flags...)
			if code, stderr := builderRun(t, nil, args...); code != 0 {
				t.Errorf("build for %s: exit %d\n%s", arch, code, stderr)
			}
		})
	}
	all.Wait()
	mustBuild(t, dir, append(flags, "--phase", "server")...)
	before := runs()
	res, code, stderr := composeIt()
	if code != 0 || res.Digest != whole.Digest || runs() != before {
		t.Errorf("compose: exit %d, %s with %d compiles, want %s and none\n%s", code, res.Digest, runs()-before, whole.Digest, stderr)
	}
}

func TestWhatCannotBeMadeHereIsSaidBeforeAnythingIsMade(t *testing.T) {
	dir, runs := compiled(t, "", "        linux/amd64: {env: {CXX: g++}}")
	code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", filepath.Join(t.TempDir(), "x.oci"))
	if code != 3 || runs() != 0 {
		t.Errorf("exit %d after %d compiles, want 3 and none\n%s", code, runs(), stderr)
	}
}

// A compile whose bytes differ from run to run is composed of what was published, not of what this machine once made.
func TestComposingTakesWhatWasPublished(t *testing.T) {
	const command = `sh, -c, "mkdir out && head -c 16 /dev/urandom >out/greet"`
	dir, _ := compiled(t, command, cross)
	server := realRegistry(t, nil)
	flags := []string{"--registry", server + "/a", "--plain-http"}
	mustBuild(t, dir, "--layout", filepath.Join(t.TempDir(), "mine.oci"))
	var published build.Result
	args := append([]string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".other")}, flags...)
	if code, stderr := builderRun(t, &published, args...); code != 0 {
		t.Fatalf("build: exit %d\n%s", code, stderr)
	}
	var composed build.Result
	args = append([]string{"compose", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache")}, flags...)
	if code, stderr := builderRun(t, &composed, args...); code != 0 || composed.Digest != published.Digest {
		t.Errorf("compose: exit %d, %s, want %s\n%s", code, composed.Digest, published.Digest, stderr)
	}
}
