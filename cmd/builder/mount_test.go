package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// blobs makes the embedded registry keep blobs by repository, as ECR does. Its user holds mu.
type blobs struct {
	mu      sync.Mutex
	present map[string]bool // "REPOSITORY DIGEST"
}

// answer says of a blob that is in another repository only that it is not there, and takes note of those that come.
func (b *blobs) answer(w http.ResponseWriter, r *http.Request) (answered bool) {
	in, digest, isBlob := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
	if r.Method == http.MethodHead && isBlob && !b.present[in+" "+digest] {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	q := r.URL.Query()
	for _, came := range []string{q.Get("digest"), q.Get("mount")} {
		if isBlob && came != "" {
			b.present[in+" "+came] = true
		}
	}
	return false
}

// ECR mounts a blob only from a repository in which a manifest refers to it.
func TestLayersAreMountedOnlyFromWhereAManifestRefersToThem(t *testing.T) {
	kept := &blobs{present: map[string]bool{}}
	referred, mounts := map[string]bool{}, 0
	server := realRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		if kept.answer(w, r) {
			return true
		}
		if q := r.URL.Query(); q.Get("mount") != "" {
			mounts++
			if !referred[q.Get("from")+" "+q.Get("mount")] {
				t.Errorf("%s is mounted from %s, where no manifest refers to it", q.Get("mount"), q.Get("from"))
			}
		}
		repository, _, isManifest := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		if r.Method != http.MethodPut || !isManifest {
			return false
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		var manifest struct{ Layers []struct{ Digest string } }
		if err := json.Unmarshal(raw, &manifest); err != nil {
			t.Error(err)
		}
		for _, l := range manifest.Layers {
			referred[repository+" "+l.Digest] = true
		}
		return false
	})
	dir := project(t)
	mustBuild(t, dir, "--registry", server+"/games", "--plain-http")
	res := mustBuild(t, dir, "--registry", server+"/games", "--plain-http", "--tag", "2")
	if mounts == 0 {
		t.Fatal("nothing was mounted: nothing is shown")
	}
	if res.PushedBytes > 20_000 {
		t.Errorf("the second build pushed %d bytes", res.PushedBytes)
	}
}

// A registry may not mount at all. Layers that cannot be made again are then copied.
func TestLayersAreCopiedWhereNothingIsMounted(t *testing.T) {
	kept := &blobs{present: map[string]bool{}}
	server := realRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		if r.URL.Query().Get("mount") != "" {
			r.URL.RawQuery = "" // an upload is begun instead
		}
		return kept.answer(w, r)
	})
	dir := project(t)
	mustBuild(t, dir, "--registry", server+"/games", "--plain-http", "--tag", "1")
	write(t, dir, "assets/tex/c.png", noise(99)) // a base layer holds what is gone now
	res := mustBuild(t, dir, "--registry", server+"/games", "--plain-http", "--tag", "2")
	server2 := strings.Replace(res.Ref, "@"+res.Digest, ":2", 1)
	if code, stderr := builderRun(t, nil, "verify", server2, "--plain-http"); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, stderr)
	}
	kept.mu.Lock()
	for key := range kept.present { // forget the server's repository: all of it has to get there again
		if strings.HasPrefix(key, "games/game ") {
			delete(kept.present, key)
		}
	}
	kept.mu.Unlock()
	forgetLayers := mustBuild(t, dir, "--registry", server+"/games", "--plain-http", "--tag", "3")
	if forgetLayers.Digest != res.Digest || forgetLayers.PushedBytes < 3_000_000 {
		t.Errorf("%s with %d bytes sent, want %s and all layers copied", forgetLayers.Digest, forgetLayers.PushedBytes, res.Digest)
	}
}

// A pipeline of one phase, in the server's repository: the phase's image is the server's.
func TestAManifestIsSentOnce(t *testing.T) {
	var mu sync.Mutex
	sent := map[string]int{}
	server := realRegistry(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if _, reference, ok := strings.Cut(r.URL.Path, "/manifests/"); ok && r.Method == http.MethodPut {
			mu.Lock()
			defer mu.Unlock()
			sent[reference]++
		}
		return false
	})
	dir := project(t)
	assets, _, _ := strings.Cut(gamePipeline, "  code:")
	write(t, dir, "pipeline.yaml", strings.Replace(assets, "    repository: game-assets\n", "", 1))
	mustBuild(t, dir, "--registry", server+"/games", "--plain-http")
	if len(sent) < 4 {
		t.Fatalf("manifests and tags were sent: %v, want two platforms, an index and tags", sent)
	}
	for reference, n := range sent {
		if n > 1 && !strings.HasPrefix(reference, "sha256-") { // the list of what is attached, which grows
			t.Errorf("%s was sent %d times", reference, n)
		}
	}
}
