package diskregistry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func (r *registry) blob(w http.ResponseWriter, req *http.Request, m []string) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", req.Method)
		return
	}
	f, err := os.Open(r.blobFile(m[1]))
	if errors.Is(err, fs.ErrNotExist) {
		fail(w, http.StatusNotFound, "BLOB_UNKNOWN", m[1])
		return
	}
	if err != nil {
		broken(w, err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		broken(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", m[1])
	http.ServeContent(w, req, "", info.ModTime(), f)
}

// start opens an upload, mounts a blob that is here already, or takes a whole blob in one request.
func (r *registry) start(w http.ResponseWriter, req *http.Request, m []string) {
	if req.Method != http.MethodPost {
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", req.Method)
		return
	}
	if mount := req.URL.Query().Get("mount"); digestOnly.MatchString(mount) {
		if _, err := os.Stat(r.blobFile(mount)); err == nil {
			created(w, m[0], mount)
			return
		}
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails: see crypto/rand
	id := hex.EncodeToString(raw[:])
	f, err := os.OpenFile(r.uploadFile(id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		broken(w, err)
		return
	}
	if req.URL.Query().Has("digest") {
		r.finish(w, req, m[0], id)
		return
	}
	accepted(w, m[0], id, 0)
}

func (r *registry) uploadFile(id string) string { return filepath.Join(r.dir, "uploads", id) }

func created(w http.ResponseWriter, name, digest string) {
	w.Header().Set("Location", "/v2/"+name+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

func accepted(w http.ResponseWriter, name, id string, size int64) {
	progress(w, name, id, size)
	w.WriteHeader(http.StatusAccepted)
}

func progress(w http.ResponseWriter, name, id string, size int64) {
	w.Header().Set("Location", "/v2/"+name+"/blobs/uploads/"+id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, size-1)))
	w.Header().Set("Docker-Upload-UUID", id)
}

// upload continues, asks about or ends an upload.
func (r *registry) upload(w http.ResponseWriter, req *http.Request, m []string) {
	name, id := m[0], m[1]
	info, err := os.Stat(r.uploadFile(id))
	if err != nil {
		fail(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", id)
		return
	}
	switch req.Method {
	case http.MethodGet:
		progress(w, name, id, info.Size())
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPatch:
		r.patch(w, req, name, id, info.Size())
	case http.MethodPut:
		r.finish(w, req, name, id)
	default:
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", req.Method)
	}
}

func (r *registry) patch(w http.ResponseWriter, req *http.Request, name, id string, have int64) {
	if from, _, ok := strings.Cut(req.Header.Get("Content-Range"), "-"); ok {
		if n, err := strconv.ParseInt(from, 10, 64); err != nil || n != have {
			progress(w, name, id, have)
			fail(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", fmt.Sprintf("have %d bytes", have))
			return
		}
	}
	n, err := r.append(id, req.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID", err.Error())
		return
	}
	accepted(w, name, id, have+n)
}

var errBusy = errors.New("another request writes to this upload")

// append keeps what arrives, also of a body that is cut.
func (r *registry) append(id string, body io.Reader) (n int64, err error) {
	if !r.begin(id) {
		return 0, errBusy
	}
	defer r.end(id)
	f, err := os.OpenFile(r.uploadFile(id), os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.Copy(f, body)
}

func (r *registry) begin(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uploading[id] {
		return false
	}
	r.uploading[id] = true
	return true
}

func (r *registry) end(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.uploading, id)
}

// finish takes the last bytes, checks the digest and makes the upload a blob.
func (r *registry) finish(w http.ResponseWriter, req *http.Request, name, id string) {
	digest := req.URL.Query().Get("digest")
	if !digestOnly.MatchString(digest) {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "want sha256:HEX")
		return
	}
	if _, err := r.append(id, req.Body); err != nil {
		fail(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID", err.Error())
		return
	}
	got, err := fileDigest(r.uploadFile(id))
	if err != nil {
		broken(w, err)
		return
	}
	if got != digest {
		_ = os.Remove(r.uploadFile(id)) // of no use to anyone
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "the bytes have "+got)
		return
	}
	if err := os.Rename(r.uploadFile(id), r.blobFile(digest)); err != nil {
		broken(w, err)
		return
	}
	created(w, name, digest)
}

func fileDigest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
