package git_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/git"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// server is a repository behind git's own server, over TCP.
type server struct {
	dir, url string
	fetches  atomic.Int64
	status   atomic.Int64 // that it answers instead, if not 0
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
		"GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func serve(t *testing.T) *server {
	t.Helper()
	libexec := run(t, t.TempDir(), "--exec-path")
	s := &server{dir: filepath.Join(t.TempDir(), "kart")}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, s.dir, "init", "-q", "-b", "main")
	backend := &cgi.Handler{
		Path: filepath.Join(libexec, "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(s.dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code := s.status.Load(); code != 0 {
			w.WriteHeader(int(code))
			return
		}
		if strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			s.fetches.Add(1)
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL + "/kart/.git"
	return s
}

// commit writes files (a mode before a space in the name is set) and returns the commit.
func (s *server) commit(t *testing.T, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := os.FileMode(0o600)
		if strings.HasPrefix(content, "#!") {
			mode = 0o700
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s.dir, "add", "-A")
	run(t, s.dir, "commit", "-qm", "x")
	return run(t, s.dir, "rev-parse", "HEAD")
}

func options(t *testing.T, s *server, ref string) git.Options {
	t.Helper()
	cache := t.TempDir()
	store, err := pack.Open(filepath.Join(cache, "packs"))
	if err != nil {
		t.Fatal(err)
	}
	return git.Options{URL: s.url, Ref: ref, Store: store, CacheDir: cache}
}

func resolve(t *testing.T, o git.Options) (builder.Resolved, error) {
	t.Helper()
	return git.New(o).Resolve(t.Context(), v1.Platform{})
}

func list(t *testing.T, o git.Options) (map[string]string, error) {
	t.Helper()
	r, err := resolve(t, o)
	if err != nil {
		return nil, err
	}
	tree, err := r.Tree(t.Context())
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, e := range tree.Entries {
		line := fmt.Sprintf("%o %s", e.Mode, e.Link)
		if e.Content != nil {
			in, err := e.Content.Open()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(in)
			if err != nil || in.Close() != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf("%.12q", raw)
		}
		out[e.Path] = line
	}
	return out, nil
}

var files = map[string]string{
	"run.sh": "#!/bin/sh\n", "data/a.xml": "<a/>", "data/large": strings.Repeat("0123456789", 600_000), "data/link": "-> a.xml",
}

func TestABranchATagAndACommitAreTheSameTree(t *testing.T) {
	s := serve(t)
	commit := s.commit(t, files)
	run(t, s.dir, "tag", "-a", "v1", "-m", "annotated")
	run(t, s.dir, "tag", "light")
	want := map[string]string{
		"run.sh": `755 "#!/bin/sh\n"`, "data": "755 ", "data/a.xml": `644 "<a/>"`, "data/large": `644 "012345678901"`, "data/link": "777 a.xml",
	}
	for _, ref := range []string{"main", "refs/heads/main", "v1", "light", commit} {
		got, err := list(t, options(t, s, ref))
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", ref, diff)
		}
	}
	o := options(t, s, "main")
	o.Folder = "data"
	if got, err := list(t, o); err != nil || len(got) != 3 || got["a.xml"] == "" {
		t.Errorf("the folder data: %v, %v", got, err)
	}
}

func TestACommitIsFetchedOnceAndWithoutHistory(t *testing.T) {
	s := serve(t)
	s.commit(t, map[string]string{"old": strings.Repeat("history", 1000)})
	if err := os.Remove(filepath.Join(s.dir, "old")); err != nil {
		t.Fatal(err)
	}
	first := s.commit(t, files)
	o := options(t, s, "main")
	r, err := resolve(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Pending() != -1 || s.fetches.Load() != 0 {
		t.Errorf("before Tree: %d pending, %d fetches", r.Pending(), s.fetches.Load())
	}
	before, err := r.InputDigest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := list(t, o); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.fetches.Load(); n != 1 || r.Pending() != 0 {
		t.Errorf("%d fetches, %d pending, want one and nothing", n, r.Pending())
	}
	if left, err := os.ReadDir(filepath.Join(o.CacheDir, "git")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	s.commit(t, map[string]string{"data/a.xml": "<b/>"})
	r, err = resolve(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := r.InputDigest(t.Context()); err != nil || after == before || r.Pending() != -1 {
		t.Errorf("after a commit: %v, %s", err, after)
	}
	m, ok := r.(interface{ Materials() []builder.Material })
	if !ok || m.Materials()[0].Digest.Algorithm != "gitCommit" || m.Materials()[0].Digest.Hex == first {
		t.Error("the materials are not the new commit")
	}
}

func TestABranchThatMovesInBetweenIsNotMixed(t *testing.T) {
	s := serve(t)
	s.commit(t, files)
	r, err := resolve(t, options(t, s, "main"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.dir, "commit", "-q", "--amend", "-m", "another") // nothing points to the first one any more
	_, err = r.Tree(t.Context())
	if !errors.Is(err, builder.ErrChanged) || builder.KindOf(err) != builder.Input {
		t.Errorf("Tree = %v, want an Input error that says it changed", err)
	}
	run(t, s.dir, "config", "uploadpack.allowAnySHA1InWant", "true")
	if _, err := r.Tree(t.Context()); err != nil {
		t.Errorf("of a server that gives out any commit: %v", err)
	}
}

func TestWhatIsNotInTheRepositoryIsRefused(t *testing.T) {
	s := serve(t)
	s.commit(t, map[string]string{"model.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"})
	if _, err := list(t, options(t, s, "main")); builder.KindOf(err) != builder.Input || !strings.Contains(fmt.Sprint(err), `"model.bin"`) || !strings.Contains(fmt.Sprint(err), "LFS") {
		t.Errorf("a file in LFS: %v", err)
	}
	s = serve(t)
	s.commit(t, files)
	run(t, s.dir, "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",engine")
	run(t, s.dir, "commit", "-qm", "submodule")
	if _, err := list(t, options(t, s, "main")); builder.KindOf(err) != builder.Input || !strings.Contains(fmt.Sprint(err), `"engine" is a submodule`) {
		t.Errorf("a submodule: %v", err)
	}
	s = serve(t)
	s.commit(t, map[string]string{"out": "-> ../../etc/passwd"})
	if _, err := list(t, options(t, s, "main")); builder.KindOf(err) != builder.Input {
		t.Errorf("a link that leads out: %v", err)
	}
}

func TestFailuresSayWhoseTheyAre(t *testing.T) {
	s := serve(t)
	s.commit(t, files)
	for name, c := range map[string]struct {
		ref, folder string
		status      int64
		path        string
		kind        builder.Kind
		want        string
	}{
		"no such branch":     {"none", "", 0, "", builder.Input, `no branch or tag "none"`},
		"no such commit":     {strings.Repeat("1", 40), "", 0, "", builder.Input, "whole commit"},
		"no such folder":     {"main", "none", 0, "", builder.Input, `no folder "none"`},
		"no such repository": {"main", "", 0, "x", builder.Input, "kart"},
		"no access":          {"main", "", 401, "", builder.Auth, "PITCREW_GIT_PASSWORD"},
		"forbidden":          {"main", "", 403, "", builder.Auth, ""},
		"out of order":       {"main", "", 503, "", builder.Transient, ""},
	} {
		s.status.Store(c.status)
		o := options(t, s, c.ref)
		o.Folder, o.URL = c.folder, strings.Replace(o.URL, "/.git", c.path+"/.git", 1)
		_, err := list(t, o)
		hint := ""
		if e, ok := errors.AsType[*builder.Error](err); ok {
			hint = e.Hint
		}
		if builder.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err)+hint, c.want) {
			t.Errorf("%s: %v (%s) of kind %d, want one of kind %d with %q", name, err, hint, builder.KindOf(err), c.kind, c.want)
		}
	}
}
