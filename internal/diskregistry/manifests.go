package diskregistry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// maxManifest is what registries accept.
const maxManifest = 4 << 20

func (r *registry) manifest(w http.ResponseWriter, req *http.Request, m []string) {
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		r.getManifest(w, req, m[0], m[1])
	case http.MethodPut:
		r.putManifest(w, req, m[0], m[1])
	default:
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", req.Method)
	}
}

// stored is what a manifest says of itself and what it needs.
type stored struct {
	MediaType string `json:"mediaType"`
	Config    *child `json:"config"`
	Layers    []child
	Manifests []child
}

type child struct {
	Digest string `json:"digest"`
}

func (r *registry) getManifest(w http.ResponseWriter, req *http.Request, name, reference string) {
	digest := reference
	if !digestOnly.MatchString(reference) {
		raw, err := os.ReadFile(filepath.Join(r.repository(name), "tags", reference))
		if err != nil {
			fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", reference)
			return
		}
		digest = string(raw)
	}
	raw, err := os.ReadFile(filepath.Join(r.repository(name), "manifests", hexOf(digest)))
	if errors.Is(err, fs.ErrNotExist) {
		fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", reference)
		return
	}
	var m stored
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		broken(w, err)
		return
	}
	w.Header().Set("Content-Type", m.MediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.Header().Set("Docker-Content-Digest", digest)
	if req.Method == http.MethodGet {
		_, _ = io.Copy(w, bytes.NewReader(raw)) // the client went away
	}
}

func hexOf(digest string) string { return digest[len("sha256:"):] }

func (r *registry) putManifest(w http.ResponseWriter, req *http.Request, name, reference string) {
	raw, err := io.ReadAll(io.LimitReader(req.Body, maxManifest+1))
	if err != nil || len(raw) > maxManifest {
		fail(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", "a manifest has at most 4 MiB")
		return
	}
	sum := sha256.Sum256(raw)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	var m stored
	if err := json.Unmarshal(raw, &m); err != nil || m.MediaType == "" || m.MediaType != req.Header.Get("Content-Type") {
		fail(w, http.StatusBadRequest, "MANIFEST_INVALID", "want JSON whose mediaType is the Content-Type")
		return
	}
	if digestOnly.MatchString(reference) && reference != digest {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "the bytes have "+digest)
		return
	}
	if missing := r.missing(name, m); missing != "" {
		fail(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", missing)
		return
	}
	err = replace(filepath.Join(r.repository(name), "manifests", hexOf(digest)), raw)
	if err == nil && reference != digest {
		err = replace(filepath.Join(r.repository(name), "tags", reference), []byte(digest))
	}
	if err != nil {
		broken(w, err)
		return
	}
	w.Header().Set("Location", "/v2/"+name+"/manifests/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// missing is a digest that the manifest lists and the registry does not have.
func (r *registry) missing(name string, m stored) string {
	blobs := m.Layers
	if m.Config != nil {
		blobs = append(slices.Clone(blobs), *m.Config)
	}
	for _, b := range blobs {
		if !digestOnly.MatchString(b.Digest) || !exists(r.blobFile(b.Digest)) {
			return b.Digest
		}
	}
	for _, c := range m.Manifests {
		if !digestOnly.MatchString(c.Digest) || !exists(filepath.Join(r.repository(name), "manifests", hexOf(c.Digest))) {
			return c.Digest
		}
	}
	return ""
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// replace writes a small file as a whole.
func replace(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the error that matters is already there
	}
	return err
}

func (r *registry) tags(w http.ResponseWriter, _ *http.Request, m []string) {
	entries, err := os.ReadDir(filepath.Join(r.repository(m[0]), "tags"))
	if errors.Is(err, fs.ErrNotExist) {
		fail(w, http.StatusNotFound, "NAME_UNKNOWN", m[0])
		return
	}
	if err != nil {
		broken(w, err)
		return
	}
	tags := []string{}
	for _, e := range entries {
		if e.Name()[0] != '.' {
			tags = append(tags, e.Name())
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"name": m[0], "tags": tags}) // the client went away
}
