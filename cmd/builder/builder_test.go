package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
)

const gamePipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: game}
platforms: [linux/amd64, linux/arm64]
repository: game
tags: ["1"]
budgets: {layers: 40}
phases:
  assets:
    repository: game-assets
    sources: [{dir: {path: assets}, destination: /game, exclude: ["**/*.psd"]}]
    split: {layers: 4}
  code:
    sources:
      - {dir: {path: amd64}, platforms: [linux/amd64]}
      - {dir: {path: arm64}, platforms: [linux/arm64]}
  server:
    sources: [{files: [{path: /etc/game.conf, content: "port=1"}]}]
    config: {entrypoint: [/bin/game], user: "65532:65532", env: {HOME: /tmp}}
`

// project writes a small game; old times keep the files out of the memo's two racy seconds.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", gamePipeline)
	for i, c := range "abcdefghijkl" {
		write(t, dir, "assets/tex/"+string(c)+".png", noise(byte(i)))
		write(t, dir, "assets/"+string(c)+".xml", strings.Repeat("<x/>", 1000))
	}
	write(t, dir, "assets/source.psd", "not shipped")
	write(t, dir, "amd64/bin/game", "amd64 code")
	write(t, dir, "arm64/bin/game", "arm64 code")
	return dir
}

// noise is 400 kB that do not compress, like a texture.
func noise(seed byte) string {
	raw := make([]byte, 400_000)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(raw)
	return string(raw)
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func builderRun(t *testing.T, into any, args ...string) (code int, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append(args, "--output", "json"), func(string) string { return "" }, &out, &errs)
	if code == 0 && into != nil {
		decode(t, out.String(), into)
	}
	return code, errs.String()
}

func decode(t *testing.T, document string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(document), into); err != nil {
		t.Fatalf("standard output is not one JSON document: %v\n%s", err, document)
	}
}

func mustBuild(t *testing.T, dir string, args ...string) build.Result {
	t.Helper()
	var res build.Result
	args = append([]string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache")}, args...)
	if code, stderr := builderRun(t, &res, args...); code != 0 {
		t.Fatalf("builder %v: exit %d\n%s", args, code, stderr)
	}
	return res
}

func testRegistry(t *testing.T) string {
	t.Helper()
	return countingRegistry(t, nil)
}

// countingRegistry notes each request's method and path.
func countingRegistry(t *testing.T, note func(string)) string {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if note != nil {
			note(r.Method + " " + r.URL.Path)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://") + "/games"
}

func inspected(t *testing.T, ref string) inspect.Report {
	t.Helper()
	var r inspect.Report
	if code, stderr := builderRun(t, &r, "inspect", ref, "--plain-http"); code != 0 {
		t.Fatalf("inspect %s: exit %d\n%s", ref, code, stderr)
	}
	return r
}

func TestBuildToARegistrySharesAssetsBetweenPlatforms(t *testing.T) {
	dir, reg := project(t), testRegistry(t)
	res := mustBuild(t, dir, "--registry", reg, "--plain-http")
	if !strings.HasPrefix(res.Ref, reg+"/game@sha256:") {
		t.Errorf("ref = %q", res.Ref)
	}
	r := inspected(t, reg+"/game:1")
	if r.Index != res.Digest || len(r.Platforms) != 2 {
		t.Fatalf("inspect = %+v, want index %s with two platforms", r, res.Digest)
	}
	for i, l := range r.Platforms[0].Layers {
		other := r.Platforms[1].Layers[i]
		if same := l == other; l.Phase == "assets" && (!same || !l.Shared) || l.Phase == "code" && same {
			t.Errorf("layer %d (%s): amd64 %+v, arm64 %+v", i, l.Phase, l, other)
		}
	}
	if r.Platforms[0].Layers[0].Phase != "assets" {
		t.Errorf("the bottom layer is of phase %s", r.Platforms[0].Layers[0].Phase)
	}
}

func TestTheSameInputGivesTheSameDigestEverywhere(t *testing.T) {
	reg := testRegistry(t)
	first := mustBuild(t, project(t), "--registry", reg, "--plain-http")
	elsewhere := project(t)
	if err := os.Chmod(filepath.Join(elsewhere, "assets/a.xml"), 0o664); err != nil {
		t.Fatal(err)
	}
	again := mustBuild(t, elsewhere, "--registry", testRegistry(t), "--plain-http", "--jobs", "1")
	if first.Digest != again.Digest {
		t.Errorf("digest here %s, elsewhere %s", first.Digest, again.Digest)
	}
	toLayout := mustBuild(t, project(t), "--layout", filepath.Join(t.TempDir(), "out.oci"))
	if first.Digest != toLayout.Digest {
		t.Errorf("digest in a registry %s, in a layout %s", first.Digest, toLayout.Digest)
	}
}

func TestNothingChangedSendsNothing(t *testing.T) {
	dir, reg := project(t), testRegistry(t)
	first := mustBuild(t, dir, "--registry", reg, "--plain-http")
	for name, prepare := range map[string]func(){
		"same machine":                  func() {},
		"fresh machine with the lock":   func() { removeAll(t, filepath.Join(dir, ".cache")) },
		"fresh machine without a lock":  func() { removeAll(t, filepath.Join(dir, ".cache"), filepath.Join(dir, "assets.lock")) },
		"the lock alone was thrown out": func() { removeAll(t, filepath.Join(dir, "assets.lock")) },
	} {
		t.Run(name, func(t *testing.T) {
			prepare()
			res := mustBuild(t, dir, "--registry", reg, "--plain-http")
			if res.Digest != first.Digest || res.PushedBytes != 0 {
				t.Errorf("build = %s, %d bytes pushed, want %s and none", res.Digest, res.PushedBytes, first.Digest)
			}
			for _, p := range res.Phases {
				if !p.Cached {
					t.Errorf("phase %s was made again", p.Name)
				}
			}
		})
	}
}

func TestNothingChangedIsOneHEAD(t *testing.T) {
	var mu sync.Mutex
	var requests []string
	reg := countingRegistry(t, func(r string) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, r)
	})
	dir := project(t)
	mustBuild(t, dir, "--registry", reg, "--plain-http")
	removeAll(t, filepath.Join(dir, ".cache"))
	mustBuild(t, dir, "--registry", reg, "--plain-http") // fills the memory of layers again
	requests = nil
	mustBuild(t, dir, "--registry", reg, "--plain-http")
	want := []string{"GET /v2/", "HEAD /v2/games/game/manifests/1"} // the first asks how to authenticate
	if !slices.Equal(requests, want) {
		t.Errorf("requests = %q, want %q", requests, want)
	}
}

func removeAll(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := os.RemoveAll(n); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneEditedTexturePushesItsOwnBytes(t *testing.T) {
	dir, reg := project(t), testRegistry(t)
	mustBuild(t, dir, "--registry", reg, "--plain-http")
	before := inspected(t, reg+"/game:1")
	write(t, dir, "assets/tex/c.png", noise(99))
	res := mustBuild(t, dir, "--registry", reg, "--plain-http", "--tag", "2")
	if res.PushedBytes > 410_000 {
		t.Errorf("pushed %d bytes for a texture of 400,000", res.PushedBytes)
	}
	after := inspected(t, reg+"/game:2")
	for i, p := range after.Platforms {
		was := before.Platforms[i].Layers
		for j, l := range was {
			if p.Layers[j].ChainID != l.ChainID {
				t.Errorf("%s: layer %d of phase %s has another chain ID: nodes unpack it again", p.Platform, j, l.Phase)
			}
		}
		if n := len(p.Layers); n != len(was)+1 || p.Layers[n-1].Phase != "assets" {
			t.Errorf("%s: %d layers, want one more than %d, of the assets, on top", p.Platform, n, len(was))
		}
	}
	var d inspect.Diff
	if code, stderr := builderRun(t, &d, "diff", reg+"/game:1", reg+"/game:2", "--plain-http"); code != 0 {
		t.Fatalf("diff: exit %d\n%s", code, stderr)
	}
	if got := d.Platforms[0]; got.PullBytes == 0 || got.PullBytes > got.ReusedBytes || got.UnpackBytes > 410_000 {
		t.Errorf("diff = %+v, want a pull smaller than what is reused, and one texture to unpack", got)
	}
}

func TestABaseImageIsPinnedAndItsConfigInherited(t *testing.T) {
	dir, reg := project(t), testRegistry(t)
	mustBuild(t, dir, "--registry", reg, "--plain-http") // stands in for somebody's base image
	second := filepath.Join(dir, "second.yaml")
	write(t, dir, "second.yaml", `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: second}
platforms: [linux/amd64, linux/arm64]
repository: second
tags: ["1"]
lock: second.lock
phases:
  base: {sources: [{image: {ref: "`+reg+`/game:1"}, exclude: ["game/**"]}]}
  server: {sources: [{files: [{path: /etc/more, content: x}]}], config: {env: {MORE: "1"}}}
`)
	args := []string{"build", "-f", second, "--registry", reg, "--plain-http", "--cache-dir", filepath.Join(dir, ".cache")}
	var first, again, updated build.Result
	if code, stderr := builderRun(t, &first, args...); code != 0 {
		t.Fatalf("build on an image: exit %d\n%s", code, stderr)
	}
	img := inspected(t, reg+"/second:1")
	if img.Index != first.Digest || img.Platforms[0].Layers[0].Phase != "base" {
		t.Errorf("inspect = %+v", img)
	}
	config, err := remote.Image(mustRef(t, reg+"/second:1"), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	cf, err := config.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(cf.Config.Env, " "), "HOME=/tmp MORE=1"; got != want || cf.Config.User != "65532:65532" {
		t.Errorf("env = %q, user %q, want the base image's and our own %q", got, cf.Config.User, want)
	}

	write(t, dir, "amd64/bin/game", "newer code")
	mustBuild(t, dir, "--registry", reg, "--plain-http") // the tag moves under us
	if code, stderr := builderRun(t, &again, args...); code != 0 || again.Digest != first.Digest {
		t.Errorf("after the base's tag moved: exit %d, %s, want the pinned %s\n%s", code, again.Digest, first.Digest, stderr)
	}
	if code, stderr := builderRun(t, &updated, append(args, "--update")...); code != 0 || updated.Digest == first.Digest {
		t.Errorf("with --update: exit %d, %s, want another image than %s\n%s", code, updated.Digest, first.Digest, stderr)
	}
}

func mustRef(t *testing.T, s string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestFailuresHaveTheirExitCodes(t *testing.T) {
	dir := project(t)
	file := filepath.Join(dir, "pipeline.yaml")
	with := func(old, replacement string) string {
		name := filepath.Join(dir, "changed-"+strings.Trim(strings.ReplaceAll(old, "/", "-"), ": ")+".yaml")
		if err := os.WriteFile(name, []byte(strings.Replace(gamePipeline, old, replacement, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	out := filepath.Join(t.TempDir(), "out.oci")
	for _, c := range []struct {
		name string
		args []string
		code int
		say  string
	}{
		{"no such pipeline", []string{"build", "-f", "nowhere.yaml"}, 2, "nowhere.yaml"},
		{"an unknown field", []string{"validate", "-f", with("platforms:", "platfroms:")}, 2, "did you mean platforms?"},
		{"an unknown flag", []string{"build", "--nope"}, 2, "unknown flag"},
		{"a phase that is not there", []string{"build", "-f", file, "--phase", "base"}, 2, "base"},
		{"a platform that is not there", []string{"build", "-f", file, "--platform", "linux/386"}, 2, "linux/386"},
		{"two phases write one path", []string{"build", "-f", with("/etc/game.conf", "/bin/game"), "--layout", out}, 3, "bin/game: written by phase code and by phase server"},
		{"a budget", []string{"build", "-f", with("layers: 40", "layers: 2"), "--layout", out}, 6, "the budget is 2"},
		{"no such image", []string{"inspect", "oci:" + dir + ":1"}, 3, "not an OCI layout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stderr := builderRun(t, nil, append(c.args, "--cache-dir", filepath.Join(dir, ".cache"))...)
			if code != c.code || !strings.Contains(stderr, c.say) {
				t.Errorf("exit %d, want %d; message:\n%s\nwant %q", code, c.code, stderr, c.say)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "assets.lock")); !os.IsNotExist(err) {
		t.Errorf("a failed build left a lock: %v", err)
	}
}
