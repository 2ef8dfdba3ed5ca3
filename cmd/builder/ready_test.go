package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const remotePipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: game}
platforms: [linux/amd64, linux/arm64]
repository: game
tags: ["1"]
phases:
  assets:
    repository: game-assets
    sources: [{archive: {url: "%[1]s/assets.tar.gz", sha256: %[2]s}, destination: /game}]
    split: {layers: 3}
  base:
    sources: [{archive: {url: "%[1]s/base.tar.gz", sha256: %[3]s}, destination: /usr}]
    config: {env: {LANG: C.UTF-8}}
  server:
    sources: [{files: [{path: %[4]s, content: "%[5]s"}]}]
    config: {entrypoint: [/usr/run]}
`

// origin serves two archives and counts what it sent.
func origin(t *testing.T) (url string, sums map[string]string, gets *atomic.Int64) {
	t.Helper()
	dir := t.TempDir()
	for i := range 6 {
		write(t, dir, fmt.Sprintf("assets/tex/%d.png", i), noise(byte(i)))
	}
	write(t, dir, "base/run", "#!/bin/sh\n")
	write(t, dir, "base/lib/libc.so", noise(50))
	sums = map[string]string{}
	for _, name := range []string{"assets", "base"} {
		shell(t, dir, "tar czf "+name+".tar.gz -C "+name+" .")
		raw, err := os.ReadFile(filepath.Join(dir, name+".tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(raw)
		sums[name] = hex.EncodeToString(sum[:])
	}
	gets = new(atomic.Int64)
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gets.Add(1)
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, sums, gets
}

func TestTheRegistryIsTheCache(t *testing.T) {
	url, sums, gets := origin(t)
	var mu sync.Mutex
	read := map[string]bool{} // blobs, by digest
	server := realRegistry(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if _, digest, ok := strings.Cut(r.URL.Path, "/blobs/sha256:"); ok && r.Method == http.MethodGet {
			mu.Lock()
			defer mu.Unlock()
			read["sha256:"+digest] = true
		}
		return false
	})
	dir := t.TempDir()
	pipeline := func(path, content string) {
		write(t, dir, "pipeline.yaml", fmt.Sprintf(remotePipeline, url, sums["assets"], sums["base"], path, content))
	}
	flags := []string{"--registry", server + "/a", "--plain-http"}
	pipeline("/etc/game.conf", "port=1")
	first := mustBuild(t, dir, flags...)
	if n := gets.Load(); n != 2 {
		t.Fatalf("the first build fetched %d archives, want 2", n)
	}

	forget(t, dir)
	if again := mustBuild(t, dir, flags...); again.Digest != first.Digest || again.PushedBytes != 0 {
		t.Errorf("on a fresh machine: %s with %d bytes pushed, want %s and nothing", again.Digest, again.PushedBytes, first.Digest)
	}
	if n := gets.Load(); n != 2 {
		t.Errorf("on a fresh machine %d archives were fetched although nothing changed", n-2)
	}
	mu.Lock()
	blobs := maps.Clone(read)
	mu.Unlock()
	if len(blobs) == 0 {
		t.Error("no blob was read at all: the count is wrong") // configs and the lock's parts are
	}
	for _, p := range inspected(t, server+"/a/game:1").Platforms {
		for _, l := range p.Layers {
			if blobs[l.Digest] {
				t.Errorf("layer %s of phase %s was fetched from the registry", l.Digest, l.Phase)
			}
		}
	}

	forget(t, dir)
	pipeline("/etc/game.conf", "port=2")
	changed := mustBuild(t, dir, flags...)
	if n := gets.Load(); n != 2 || changed.PushedBytes > 1000 {
		t.Errorf("another server phase: %d archives fetched and %d bytes pushed, want the server layer alone", n-2, changed.PushedBytes)
	}
	forget(t, dir)
	full := mustBuild(t, dir, "--registry", server+"/b", "--plain-http")
	if gets.Load() != 4 || full.Digest != changed.Digest {
		t.Errorf("a build that fetches everything gives %s, want %s", full.Digest, changed.Digest)
	}

	forget(t, dir)
	pipeline("/usr/run", "mine")
	code, stderr := builderRun(t, nil, append([]string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache")}, flags...)...)
	if code != 3 || !strings.Contains(stderr, "usr/run: written by phase base and by phase server") {
		t.Errorf("a collision with a phase that is not here: exit %d\n%s", code, stderr)
	}
	if gets.Load() != 4 {
		t.Error("archives were fetched to find the collision")
	}
}

// Only the code of one platform has to be made where it is made.
func TestOnePhaseOfAFreshMachine(t *testing.T) {
	url, sums, gets := origin(t)
	server := realRegistry(t, nil)
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", fmt.Sprintf(remotePipeline, url, sums["assets"], sums["base"], "/etc/game.conf", "x"))
	flags := []string{"--registry", server + "/a", "--plain-http"}
	whole := mustBuild(t, dir, flags...)
	forget(t, dir)
	mustBuild(t, dir, append(flags, "--phase", "base")...)
	if n := gets.Load(); n != 2 {
		t.Errorf("%d archives were fetched for a phase that is there", n-2)
	}
	forget(t, dir)
	var composed struct{ Digest string }
	code, stderr := builderRun(t, &composed, append([]string{"compose", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache")}, flags...)...)
	if code != 0 || composed.Digest != whole.Digest {
		t.Errorf("compose: exit %d, %s, want %s\n%s", code, composed.Digest, whole.Digest, stderr)
	}
	if n := gets.Load(); n != 2 {
		t.Errorf("compose fetched %d archives", n-2)
	}
}

func TestConcurrentBuildsOfTheSameInputsConverge(t *testing.T) {
	server := realRegistry(t, nil)
	var dirs [3]string
	for i := range dirs {
		dirs[i] = project(t)
	}
	for round := range 3 {
		var digests [len(dirs)]string
		var all sync.WaitGroup
		for i, dir := range dirs {
			write(t, dir, "assets/tex/c.png", noise(byte(90+round)))
			all.Go(func() {
				var out, errs bytes.Buffer
				code := run(t.Context(), []string{
					"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"),
					"--registry", server + "/a", "--plain-http",
				}, func(string) string { return "" }, &out, &errs)
				if code != 0 {
					t.Errorf("round %d, build %d: exit %d\n%s", round, i, code, errs.String())
				}
				_, digests[i], _ = strings.Cut(strings.TrimSpace(out.String()), "@")
			})
		}
		all.Wait()
		for i, d := range digests {
			if d == "" || d != digests[0] {
				t.Errorf("round %d: build %d gives %s, another %s", round, i, d, digests[0])
			}
		}
		if code, stderr := builderRun(t, nil, "verify", server+"/a/game:1", "--plain-http"); code != 0 {
			t.Errorf("round %d: verify: exit %d\n%s", round, code, stderr)
		}
	}
}

// Two machines give one digest, whatever the time that goes into the layers was when the registry's were made.
func TestAnImageOfAnotherTimeIsNotTaken(t *testing.T) {
	url, sums, gets := origin(t)
	server := realRegistry(t, nil)
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", fmt.Sprintf(remotePipeline, url, sums["assets"], sums["base"], "/etc/game.conf", "x"))
	mustBuild(t, dir, "--registry", server+"/a", "--plain-http")
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	forget(t, dir)
	after := mustBuild(t, dir, "--registry", server+"/a", "--plain-http", "--compact")
	forget(t, dir)
	full := mustBuild(t, dir, "--registry", server+"/b", "--plain-http")
	if after.Digest != full.Digest {
		t.Errorf("where an image of another time is: %s, elsewhere: %s", after.Digest, full.Digest)
	}
	if n := gets.Load(); n != 6 {
		t.Errorf("%d archives were fetched, want both for each build", n)
	}
	for _, ref := range []string{"/a/game:1", "/b/game:1"} {
		if code, stderr := builderRun(t, nil, "verify", server+ref, "--plain-http"); code != 0 {
			t.Errorf("verify %s: exit %d\n%s", ref, code, stderr)
		}
	}
}
