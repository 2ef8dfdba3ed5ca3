package apt_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder/source/apt"
	"github.com/pitcrew-dev/pitcrew/builder/source/debfile/debfiletest"
)

// needApt skips where there is no apt-get.
func needApt(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("needs apt-get: run the tests on Debian or Ubuntu")
	}
}

// mirror is a Debian mirror in a folder, with suite "stable" and component "main" for amd64 and arm64.
type mirror struct{ dir string }

// newMirror makes a mirror of packages.
func newMirror(t *testing.T, debs ...debfiletest.Deb) mirror {
	t.Helper()
	needApt(t)
	m := mirror{t.TempDir()}
	index := map[string]string{"amd64": "", "arm64": ""}
	for _, d := range debs {
		content := d.Bytes()
		m.write(t, "pool/"+d.FileName(), content)
		entry := fmt.Sprintf("%sFilename: pool/%s\nSize: %d\nSHA256: %s\n\n", d.Control(), d.FileName(), len(content), sum(content))
		for arch := range index {
			if d.Architecture == "" || d.Architecture == arch {
				index[arch] += entry
			}
		}
	}
	var release strings.Builder
	release.WriteString("Suite: stable\nCodename: stable\nArchitectures: amd64 arm64\nComponents: main\nDate: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n")
	for arch, packages := range index {
		name := "main/binary-" + arch + "/Packages"
		m.write(t, "dists/stable/"+name, []byte(packages))
		release.WriteString(fmt.Sprintf(" %s %d %s\n", sum([]byte(packages)), len(packages), name))
	}
	m.write(t, "dists/stable/Release", []byte(release.String()))
	return m
}

func (m mirror) write(t *testing.T, name string, content []byte) {
	t.Helper()
	name = filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// local is the mirror by its folder.
func (m mirror) local() []apt.Mirror { return at("file:" + m.dir) }

func at(uri string) []apt.Mirror {
	return []apt.Mirror{{URI: uri, Suites: []string{"stable"}, Components: []string{"main"}, Trusted: true}}
}

// requests counts what a mirror was asked for.
type requests struct {
	mu    sync.Mutex
	count map[string]int
}

// debs is how often packages were asked for.
func (r *requests) debs() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for name, n := range r.count {
		if strings.HasSuffix(name, ".deb") {
			out[filepath.Base(name)] = n
		}
	}
	return out
}

// serve makes the mirror a web server. It denies everything while a file "denied" is in the mirror's folder.
func (m mirror) serve(t *testing.T) ([]apt.Mirror, *requests) {
	t.Helper()
	t.Setenv("no_proxy", "127.0.0.1")
	r := &requests{count: map[string]int{}}
	files := http.FileServer(http.Dir(m.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			r.mu.Lock()
			r.count[req.URL.Path]++
			r.mu.Unlock()
		}
		if _, err := os.Stat(filepath.Join(m.dir, "denied")); err == nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		files.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	return at(server.URL), r
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}
