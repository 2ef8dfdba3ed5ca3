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

// ECR keeps blobs by repository, and mounts one only from a repository in which a manifest refers to it.
func TestLayersAreMountedOnlyFromWhereAManifestRefersToThem(t *testing.T) {
	var mu sync.Mutex
	present, referred, mounts := map[string]bool{}, map[string]bool{}, 0
	server := realRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		repository, _, isManifest := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		in, blob, isBlob := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
		q := r.URL.Query()
		switch {
		case r.Method == http.MethodHead && isBlob && !present[in+" "+blob]:
			w.WriteHeader(http.StatusNotFound)
			return true
		case r.Method == http.MethodPost && q.Get("mount") != "":
			mounts++
			present[in+" "+q.Get("mount")] = true
			if !referred[q.Get("from")+" "+q.Get("mount")] {
				t.Errorf("%s is mounted from %s, where no manifest refers to it", q.Get("mount"), q.Get("from"))
			}
		case isBlob && q.Get("digest") != "":
			present[in+" "+q.Get("digest")] = true
		}
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
	var mu sync.Mutex
	present := map[string]bool{}
	server := realRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		in, blob, isBlob := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
		q := r.URL.Query()
		switch {
		case r.Method == http.MethodHead && isBlob && !present[in+" "+blob]:
			w.WriteHeader(http.StatusNotFound)
			return true
		case q.Get("mount") != "":
			r.URL.RawQuery = "" // an upload is begun instead
		case isBlob && q.Get("digest") != "":
			present[in+" "+q.Get("digest")] = true
		}
		return false
	})
	dir := project(t)
	mustBuild(t, dir, "--registry", server+"/games", "--plain-http", "--tag", "1")
	write(t, dir, "assets/tex/c.png", noise(99)) // a base layer holds what is gone now
	res := mustBuild(t, dir, "--registry", server+"/games", "--plain-http", "--tag", "2")
	server2 := strings.Replace(res.Ref, "@"+res.Digest, ":2", 1)
	if code, stderr := builderRun(t, nil, "verify", server2, "--plain-http"); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, stderr)
	}
	mu.Lock()
	for key := range present { // forget the server's repository: all of it has to get there again
		if strings.HasPrefix(key, "games/game ") {
			delete(present, key)
		}
	}
	mu.Unlock()
	forgetLayers := mustBuild(t, dir, "--registry", server+"/games", "--plain-http", "--tag", "3")
	if forgetLayers.Digest != res.Digest || forgetLayers.PushedBytes < 3_000_000 {
		t.Errorf("%s with %d bytes sent, want %s and all layers copied", forgetLayers.Digest, forgetLayers.PushedBytes, res.Digest)
	}
}
