package diskregistry_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/pitcrew-dev/pitcrew/internal/diskregistry"
)

func serve(t *testing.T, dir string) string {
	t.Helper()
	h, err := diskregistry.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// answer is a response that was read to its end.
type answer struct {
	Status     string
	StatusCode int
	Header     http.Header
	Body       string
}

func request(t *testing.T, method, url string, header http.Header, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{Status: resp.Status, StatusCode: resp.StatusCode, Header: resp.Header, Body: string(raw)}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestAnImageIsThereAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	index, err := random.Index(1000, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref := func(url string) name.Reference {
		r, err := name.ParseReference(strings.TrimPrefix(url, "http://") + "/games/stk:1")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if err := remote.WriteIndex(ref(serve(t, dir)), index, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	again, err := remote.Index(ref(serve(t, dir)), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(again); err != nil {
		t.Error(err)
	}
	tags, err := remote.List(ref(serve(t, dir)).Context(), remote.WithContext(t.Context()))
	if err != nil || len(tags) != 1 || tags[0] != "1" {
		t.Errorf("tags = %v, %v", tags, err)
	}
}

func TestACutUploadKeepsWhatArrived(t *testing.T) {
	url := serve(t, t.TempDir())
	upload := request(t, http.MethodPost, url+"/v2/a/blobs/uploads/", nil, "").Header.Get("Location")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello", upload)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // the answer: it has noticed
		t.Fatal(err)
	}
	status := request(t, http.MethodGet, url+upload, nil, "")
	if got := status.Header.Get("Range"); status.StatusCode != http.StatusNoContent || got != "0-4" {
		t.Fatalf("status = %s, range %q, want what arrived: 0-4", status.Status, got)
	}
	if wrong := request(t, http.MethodPatch, url+upload, http.Header{"Content-Range": {"3-9"}}, "xxxxxxx"); wrong.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("PATCH at the wrong place: %s, want 416", wrong.Status)
	}
	rest := request(t, http.MethodPatch, url+upload, http.Header{"Content-Range": {"5-10"}}, " world")
	if rest.StatusCode != http.StatusAccepted {
		t.Fatalf("PATCH of the rest: %s", rest.Status)
	}
	if done := request(t, http.MethodPut, url+upload+"?digest="+digest("hello world"), nil, ""); done.StatusCode != http.StatusCreated {
		t.Fatalf("PUT: %s", done.Status)
	}
	got := request(t, http.MethodGet, url+"/v2/a/blobs/"+digest("hello world"), http.Header{"Range": {"bytes=6-"}}, "")
	if got.Body != "world" {
		t.Errorf("the blob from byte 6 = %q", got.Body)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	url := serve(t, dir)
	upload := request(t, http.MethodPost, url+"/v2/a/blobs/uploads/", nil, "").Header.Get("Location")
	for name, c := range map[string]struct {
		method, path, body string
		want               int
	}{
		"a wrong digest":                   {http.MethodPut, upload + "?digest=" + digest("x"), "y", http.StatusBadRequest},
		"a path out of the folder":         {http.MethodGet, "/v2/a/manifests/..%2f..%2fetc%2fpasswd", "", http.StatusNotFound},
		"a name out of the folder":         {http.MethodPost, "/v2/../../x/blobs/uploads/", "", http.StatusNotFound},
		"a blob that is not there":         {http.MethodHead, "/v2/a/blobs/" + digest("none"), "", http.StatusNotFound},
		"a manifest that is no JSON":       {http.MethodPut, "/v2/a/manifests/1", "{", http.StatusBadRequest},
		"a manifest whose blob is missing": {http.MethodPut, "/v2/a/manifests/1", `{"mediaType":"m","layers":[{"digest":"` + digest("none") + `"}]}`, http.StatusBadRequest},
		"a tag that is not there":          {http.MethodGet, "/v2/a/manifests/2", "", http.StatusNotFound},
		"a method that is not known":       {http.MethodDelete, "/v2/a/manifests/1", "", http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			resp := request(t, c.method, url+c.path, http.Header{"Content-Type": {"m"}}, c.body)
			if resp.StatusCode != c.want {
				t.Errorf("%s %s: %s, want %d", c.method, c.path, resp.Status, c.want)
			}
		})
	}
	if blobs, err := os.ReadDir(filepath.Join(dir, "blobs")); err != nil || len(blobs) > 0 {
		t.Errorf("blobs = %v, %v, want none", blobs, err)
	}
}
