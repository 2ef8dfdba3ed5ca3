package diskregistry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// Names, tags and digests become file names: these patterns are what keeps them inside the folder.
const (
	namePattern   = `[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*`
	tagPattern    = `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
	digestPattern = `sha256:[0-9a-f]{64}`
)

var (
	blobPath     = regexp.MustCompile(`^/v2/(` + namePattern + `)/blobs/(` + digestPattern + `)$`)
	startPath    = regexp.MustCompile(`^/v2/(` + namePattern + `)/blobs/uploads/$`)
	uploadPath   = regexp.MustCompile(`^/v2/(` + namePattern + `)/blobs/uploads/([0-9a-f]{32})$`)
	manifestPath = regexp.MustCompile(`^/v2/(` + namePattern + `)/manifests/(` + tagPattern + `|` + digestPattern + `)$`)
	tagsPath     = regexp.MustCompile(`^/v2/(` + namePattern + `)/tags/list$`)
	digestOnly   = regexp.MustCompile(`^` + digestPattern + `$`)
)

type registry struct {
	dir string
	// uploading excludes two requests for one upload; manifests serialises their writing.
	mu        sync.Mutex
	uploading map[string]bool
}

// New serves the registry in dir, which it makes.
func New(dir string) (http.Handler, error) {
	for _, sub := range []string{"blobs", "uploads", "repositories"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("open registry: %w", err)
		}
	}
	return &registry{dir: dir, uploading: map[string]bool{}}, nil
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	path := req.URL.Path
	if path == "/v2/" || path == "/v2" {
		w.WriteHeader(http.StatusOK)
		return
	}
	for _, route := range []struct {
		pattern *regexp.Regexp
		serve   func(http.ResponseWriter, *http.Request, []string)
	}{
		{blobPath, r.blob}, {startPath, r.start}, {uploadPath, r.upload}, {manifestPath, r.manifest}, {tagsPath, r.tags},
	} {
		if m := route.pattern.FindStringSubmatch(path); m != nil {
			route.serve(w, req, m[1:])
			return
		}
	}
	fail(w, http.StatusNotFound, "NAME_INVALID", "no such path")
}

// fail answers with the spec's error document.
func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	_ = json.NewEncoder(w).Encode(map[string][]one{"errors": {{code, message}}}) // the client went away
}

// broken answers a failure of this machine.
func broken(w http.ResponseWriter, err error) {
	fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
}

func (r *registry) blobFile(digest string) string {
	return filepath.Join(r.dir, "blobs", strings.TrimPrefix(digest, "sha256:"))
}

func (r *registry) repository(name string) string {
	// A repository's folder must not hold another's files: games/stk and games get folders side by side.
	return filepath.Join(r.dir, "repositories", strings.ReplaceAll(name, "/", "@"))
}
