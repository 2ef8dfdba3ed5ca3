package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const bucketPipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: game}
platforms: [linux/amd64]
repository: game
tags: ["1"]
phases:
  assets:
    sources: [{%s, destination: /game}]
    split: {layers: 3}
  server:
    sources: [{files: [{path: /etc/game.conf, content: "%s"}]}]
`

// s3 is a store that speaks S3's protocol over TCP, with a folder's files below art/game and as parts of an archive.
func s3(t *testing.T, dir string) (url string, objects *atomic.Int64, broken *atomic.Bool) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	if err := backend.CreateBucket("art"); err != nil {
		t.Fatal(err)
	}
	put := func(key string, content []byte) {
		t.Helper()
		if _, err := backend.PutObject("art", key, map[string]string{}, bytes.NewReader(content), int64(len(content)), nil); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		put("game/"+rel, raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	shell(t, dir, "tar cf ../whole.tar . && split -b 300000 -d ../whole.tar ../part-")
	parts, err := filepath.Glob(filepath.Join(dir, "..", "part-*"))
	if err != nil || len(parts) < 5 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	for _, p := range parts {
		raw, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		put("dl/"+filepath.Base(p), raw)
	}
	objects, broken = new(atomic.Int64), new(atomic.Bool)
	fake := gofakes3.New(backend).Server()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") > 2 {
			objects.Add(1)
			if broken.Load() {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
				return
			}
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, objects, broken
}

func TestAFolderItsObjectsAndItsPartsGiveOneImage(t *testing.T) {
	dir, server := t.TempDir(), realRegistry(t, nil)
	for i := range 6 {
		write(t, dir, fmt.Sprintf("assets/tex/%d.png", i), noise(byte(i)))
	}
	url, objects, broken := s3(t, filepath.Join(dir, "assets"))
	build := func(source, port, registry string) string {
		t.Helper()
		write(t, dir, "pipeline.yaml", fmt.Sprintf(bucketPipeline, source, port))
		return mustBuild(t, dir, "--registry", server+registry, "--plain-http").Digest
	}
	folder := fmt.Sprintf(`bucket: {url: "s3://art/game?endpoint=%s"}`, url)
	parts := fmt.Sprintf(`archive: {parts: ["s3://art/dl/part-*?endpoint=%s"]}`, url)

	local := build("dir: {path: assets}", "x", "/dir")
	forget(t, dir)
	if got := build(folder, "x", "/bucket"); got != local || objects.Load() != 6 {
		t.Errorf("from objects: %s with %d objects read, want %s and 6", got, objects.Load(), local)
	}
	forget(t, dir)
	if got := build(parts, "x", "/parts"); got != local || objects.Load() < 14 {
		t.Errorf("from parts: %s with %d objects read, want %s", got, objects.Load()-6, local)
	}

	// On a fresh machine, nothing changed: the listing is all that is asked for.
	broken.Store(true)
	for registry, source := range map[string]string{"/bucket": folder, "/parts": parts} {
		objects.Store(0)
		forget(t, dir)
		if got := build(source, "x", registry); got != local || objects.Load() != 0 {
			t.Errorf("%s on a fresh machine: %s with %d objects read, want %s and none", registry, got, objects.Load(), local)
		}
		forget(t, dir)
		if build(source, "other", registry); objects.Load() != 0 {
			t.Errorf("%s: another server phase reads %d objects", registry, objects.Load())
		}
	}

	// A store that refuses ends the build, and no tag is there.
	forget(t, dir)
	write(t, dir, "pipeline.yaml", fmt.Sprintf(bucketPipeline, folder, "x"))
	code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--registry", server+"/none", "--plain-http")
	if code != 4 || !strings.Contains(stderr, "s3://art/game") {
		t.Errorf("a store that refuses: exit %d, want 4\n%s", code, stderr)
	}
	if code, _ := builderRun(t, nil, "inspect", server+"/none/game:1", "--plain-http"); code == 0 {
		t.Error("there is a tag of a build that failed")
	}
}
