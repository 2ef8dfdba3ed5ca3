package bucket_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/bucket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server speaks S3's protocol over TCP, and misbehaves where instead answers.
type server struct {
	url     string
	backend *s3mem.Backend
	mu      sync.Mutex
	instead func(w http.ResponseWriter, r *http.Request) bool
	gets    atomic.Int64 // objects read
}

func serve(t *testing.T) *server {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	s := &server{backend: s3mem.New()}
	fake := gofakes3.New(s.backend).Server()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		instead := s.instead
		s.mu.Unlock()
		if r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") > 1 && r.URL.RawQuery != "" && r.URL.Query().Get("list-type") == "" {
			s.gets.Add(1)
		}
		if instead == nil || !instead(w, r) {
			fake.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // it is
	})
	s.url = srv.URL
	if err := s.backend.CreateBucket("art"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) misbehave(instead func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = instead
}

func (s *server) put(t *testing.T, key, content string) {
	t.Helper()
	if _, err := s.backend.PutObject("art", key, map[string]string{}, strings.NewReader(content), int64(len(content)), nil); err != nil {
		t.Fatal(err)
	}
}

func (s *server) at(prefix string) string { return "s3://art/" + prefix + "?endpoint=" + s.url }

func options(t *testing.T) bucket.Options {
	t.Helper()
	return bucket.Options{CacheDir: t.TempDir(), Wait: time.Millisecond}
}

func resolve(t *testing.T, location string, o bucket.Options) (builder.Resolved, error) {
	t.Helper()
	src, err := bucket.New(location, o)
	if err != nil {
		return nil, err
	}
	return src.Resolve(t.Context(), v1.Platform{OS: "linux", Architecture: "amd64"})
}

func treeOf(t *testing.T, location string, o bucket.Options) (builder.Tree, error) {
	t.Helper()
	r, err := resolve(t, location, o)
	if err != nil {
		return builder.Tree{}, err
	}
	return r.Tree(t.Context())
}

func content(t *testing.T, e *builder.Entry) string {
	t.Helper()
	r, err := e.Content.Open()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil || r.Close() != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	if hex.EncodeToString(sum[:]) != e.SHA256.Hex {
		t.Errorf("%s has other bytes than its digest says", e.Path)
	}
	return string(raw)
}

func list(t *testing.T, tree builder.Tree) map[string]string {
	t.Helper()
	out := map[string]string{}
	for i := range tree.Entries {
		e := &tree.Entries[i]
		if e.Type == builder.Dir {
			out[e.Path+"/"] = ""
			continue
		}
		out[e.Path] = fmt.Sprintf("%.20s", content(t, e))
	}
	return out
}

// noise is n bytes that tell where they are from.
func noise(n int) string {
	raw := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(raw)
	return string(raw)
}

func TestObjectsBelowAPrefixAreATree(t *testing.T) {
	s, o := serve(t), options(t)
	s.put(t, "game/tex/a.png", "a")
	s.put(t, "game/tex/b ü+%.png", "b")
	s.put(t, "game/empty/", "")
	s.put(t, "game/", "")
	s.put(t, "game/zero", "")
	s.put(t, "gamely/c.png", "not below it")
	for _, prefix := range []string{"game", "game/"} {
		tree, err := treeOf(t, s.at(prefix), o)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"empty/": "", "tex/": "", "tex/a.png": "a", "tex/b ü+%.png": "b", "zero": ""}
		if diff := cmp.Diff(want, list(t, tree)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", prefix, diff)
		}
	}
}

func TestNothingIsReadTwiceAndAnEditCostsItself(t *testing.T) {
	s, o := serve(t), options(t)
	for i := range 1100 { // more than a page of the listing
		s.put(t, fmt.Sprintf("%04d", i), fmt.Sprint("file ", i))
	}
	r, err := resolve(t, s.at(""), o)
	if err != nil {
		t.Fatal(err)
	}
	before, err := r.InputDigest(t.Context())
	if err != nil || s.gets.Load() != 0 || r.Pending() == 0 {
		t.Errorf("before Tree: %v, %d objects read, %d bytes pending", err, s.gets.Load(), r.Pending())
	}
	if _, err := r.Tree(t.Context()); err != nil || s.gets.Load() != 1100 || r.Pending() != 0 {
		t.Fatalf("Tree: %v, %d objects read, %d bytes pending", err, s.gets.Load(), r.Pending())
	}
	s.put(t, "0007", "edited")
	r, err = resolve(t, s.at(""), o)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := r.InputDigest(t.Context()); err != nil || after == before || r.Pending() != 6 {
		t.Errorf("after an edit: %v, digest %s as before, %d bytes pending", err, after, r.Pending())
	}
	tree, err := r.Tree(t.Context())
	if err != nil || s.gets.Load() != 1101 || len(tree.Entries) != 1100 || list(t, tree)["0007"] != "edited" {
		t.Errorf("after an edit: %v, %d objects read", err, s.gets.Load()-1100)
	}
}

func TestEqualObjectsHaveOneDigestWhereverTheyAre(t *testing.T) {
	s := serve(t)
	for _, prefix := range []string{"one/", "two/"} {
		s.put(t, prefix+"a", "same")
	}
	digest := func(prefix string) v1.Hash {
		r, err := resolve(t, s.at(prefix), options(t))
		if err != nil {
			t.Fatal(err)
		}
		d, err := r.InputDigest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if digest("one") != digest("two") {
		t.Error("they have two")
	}
}

// truncated sends the head of an answer and a part of its body, then cuts the connection.
func truncated(w http.ResponseWriter, r *http.Request, s *server, most int) {
	rec := httptest.NewRecorder()
	gofakes3.New(s.backend).Server().ServeHTTP(rec, r)
	maps.Copy(w.Header(), rec.Header())
	w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes()[:min(most, rec.Body.Len())]) // the client may be gone
	panic(http.ErrAbortHandler)
}

func isRead(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Count(strings.TrimSuffix(r.URL.Path, "/"), "/") > 1
}

func TestLargeObjectsComeInRangesOverCutConnections(t *testing.T) {
	s, o := serve(t), options(t)
	whole := noise(40 << 20)
	s.put(t, "large", whole)
	var cut, served atomic.Int64
	seen := sync.Map{}
	s.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
		if !isRead(r) {
			return false
		}
		served.Add(1)
		seen.Store(r.Header.Get("Range"), true)
		if cut.Add(1) <= 4 {
			truncated(w, r, s, 3<<20)
		}
		return false
	})
	tree, err := treeOf(t, s.at(""), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, &tree.Entries[0]); got != whole {
		t.Error("the object has other bytes")
	}
	if n := served.Load(); n != 7 { // three ranges, and four that went on behind what had arrived
		t.Errorf("%d requests for three ranges cut four times", n)
	}
	resumed := 0
	seen.Range(func(k, _ any) bool {
		if text, ok := k.(string); ok && !strings.HasPrefix(text, "bytes=0-") && !strings.HasPrefix(text, fmt.Sprintf("bytes=%d-", 16<<20)) && !strings.HasPrefix(text, fmt.Sprintf("bytes=%d-", 32<<20)) {
			resumed++
		}
		return true
	})
	if resumed == 0 {
		t.Error("every cut range was read from its start again")
	}
}

// A process that dies leaves what it got.
func TestAFetchThatEndedEarlyGoesOn(t *testing.T) {
	s, o := serve(t), options(t)
	whole := noise(50 << 20)
	s.put(t, "large", whole)
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	s.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
		if isRead(r) && strings.HasPrefix(r.Header.Get("Range"), fmt.Sprintf("bytes=%d-", 48<<20)) {
			once.Do(cancel)
			<-r.Context().Done()
			return true
		}
		return false
	})
	src, err := bucket.New(s.at(""), o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Resolve(ctx, v1.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Tree(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Tree = %v, want the context's error", err)
	}
	s.misbehave(nil)
	tree, err := treeOf(t, s.at(""), o)
	if err != nil || content(t, &tree.Entries[0]) != whole {
		t.Errorf("the second time: %v, or other bytes", err)
	}
	left, err := filepath.Glob(filepath.Join(o.CacheDir, "objects", "*", "*.part*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func slowDown(w http.ResponseWriter) {
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
}

func TestAThrottlingStoreIsAskedAgain(t *testing.T) {
	s, o := serve(t), options(t)
	s.put(t, "a", "content")
	var n atomic.Int64
	s.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
		if n.Add(1)%3 != 0 {
			slowDown(w)
			return true
		}
		return false
	})
	if tree, err := treeOf(t, s.at(""), o); err != nil || list(t, tree)["a"] != "content" {
		t.Errorf("Tree = %v, %v", tree, err)
	}
}

func denied(w http.ResponseWriter) {
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
}

func TestFailuresSayWhoseTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		instead func(s *server) func(http.ResponseWriter, *http.Request) bool
		at      string
		kind    builder.Kind
		want    string
	}{
		"throttled for good": {func(*server) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, _ *http.Request) bool { slowDown(w); return true }
		}, "game", builder.Transient, "SlowDown"},
		"every body truncated": {func(s *server) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if isRead(r) {
					truncated(w, r, s, 2)
				}
				return false
			}
		}, "game", builder.Transient, `"game/a"`},
		"listing denied": {func(*server) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, _ *http.Request) bool { denied(w); return true }
		}, "game", builder.Auth, "s3://art/game"},
		"reading denied": {func(*server) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if isRead(r) {
					denied(w)
				}
				return isRead(r)
			}
		}, "game", builder.Auth, `"game/a"`},
		"nothing there":  {nil, "none", builder.Input, "no object below s3://art/none"},
		"no such bucket": {nil, "../missing", builder.Input, "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := serve(t), options(t)
			s.put(t, "game/a", "content")
			if c.instead != nil {
				s.misbehave(c.instead(s))
			}
			at := s.at(c.at)
			if rest, ok := strings.CutPrefix(c.at, "../"); ok {
				at = strings.Replace(s.at("x"), "art", rest, 1)
			}
			_, err := treeOf(t, at, o)
			if builder.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%v of kind %d, want one of kind %d with %s", err, builder.KindOf(err), c.kind, c.want)
			}
		})
	}
}

// Some stores look at the condition of a read, some do not.
func TestAnObjectThatChangesIsNeverPartOfATree(t *testing.T) {
	for _, conditional := range []bool{true, false} {
		t.Run(fmt.Sprint("conditional reads: ", conditional), func(t *testing.T) {
			s, o := serve(t), options(t)
			s.put(t, "game/a", "first")
			s.put(t, "game/b", "first")
			s.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
				if isRead(r) && r.Header.Get("If-Match") == "" {
					t.Errorf("%s is read without a condition", r.URL.Path)
				}
				if !conditional {
					r.Header.Del("If-Match")
				} else if isRead(r) && strings.HasSuffix(r.URL.Path, "/b") {
					w.WriteHeader(http.StatusPreconditionFailed)
					fmt.Fprint(w, `<Error><Code>PreconditionFailed</Code><Message>At least one of the preconditions did not hold</Message></Error>`)
					return true
				}
				return false
			})
			r, err := resolve(t, s.at("game"), o)
			if err != nil {
				t.Fatal(err)
			}
			s.put(t, "game/b", "other")
			_, err = r.Tree(t.Context())
			if !errors.Is(err, builder.ErrChanged) || builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), `"game/b"`) {
				t.Errorf("Tree = %v, want an Input error that names the object and says that it changed", err)
			}
			s.misbehave(nil)
			if tree, err := treeOf(t, s.at("game"), o); err != nil || list(t, tree)["b"] != "other" {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestWhatArrivesIsHeldAgainstTheStoresChecksum(t *testing.T) {
	s, o := serve(t), options(t)
	whole := noise(20 << 20)
	s.put(t, "large", whole)
	sum := sha256.Sum256([]byte(whole))
	head := func(sum []byte) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				w.Header().Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum))
				w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
			}
			return false
		}
	}
	s.misbehave(head(bytes.Repeat([]byte{1}, 32)))
	if _, err := treeOf(t, s.at(""), o); builder.KindOf(err) != builder.Transient || !strings.Contains(fmt.Sprint(err), "SHA256") {
		t.Errorf("with another checksum: %v, want a Transient error", err)
	}
	s.misbehave(head(sum[:]))
	if tree, err := treeOf(t, s.at(""), o); err != nil || content(t, &tree.Entries[0]) != whole {
		t.Errorf("with its own: %v", err)
	}
}

func TestKeysThatAreNoPathsAreRefused(t *testing.T) {
	for key, want := range map[string]string{
		"game//a": "empty part", "game/./a": "elsewhere", `game/a\b`: "backslash", "game/a\nb": "control characters",
		"game/" + strings.Repeat("x", 256): "too long",
	} {
		s := serve(t)
		s.put(t, key, "x")
		if _, err := treeOf(t, s.at("game"), options(t)); builder.KindOf(err) != builder.Input || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q: %v, want an Input error with %q", key, err, want)
		}
	}
	s := serve(t)
	s.put(t, "game/a", "x")
	s.put(t, "game/a/b", "x")
	if _, err := treeOf(t, s.at("game"), options(t)); builder.KindOf(err) != builder.Input || !strings.Contains(fmt.Sprint(err), "objects below it") {
		t.Errorf("a file and a folder: %v, want an Input error", err)
	}
}

func TestADamagedObjectInTheCacheIsFetchedAgain(t *testing.T) {
	s, o := serve(t), options(t)
	s.put(t, "a", "content")
	tree, err := treeOf(t, s.at(""), o)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.CacheDir, "objects", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Ext(f) == "" {
			if err := os.WriteFile(f, []byte("contenT"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := tree.Entries[0].Content.Open()
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	if err := errors.Join(err, r.Close()); !errors.Is(err, builder.ErrChanged) {
		t.Errorf("reading it: %v, want an error that says so", err)
	}
	if tree, err := treeOf(t, s.at(""), o); err != nil || list(t, tree)["a"] != "content" {
		t.Errorf("afterwards: %v", err)
	}
}

func TestPartsAreFoundInNaturalOrder(t *testing.T) {
	s, o := serve(t), options(t)
	for i := 1; i <= 11; i++ {
		s.put(t, fmt.Sprintf("dl/data.part-%d", i), fmt.Sprint(i, " "))
	}
	s.put(t, "dl/data.part-1/inside", "no")
	s.put(t, "dl/data.tar", "no")
	f, err := bucket.NewFiles(t.Context(), o, s.at("dl/data.part-*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Contents()) != 11 || f.Pending() == 0 || s.gets.Load() != 0 {
		t.Errorf("%d parts, %d bytes pending", len(f.Contents()), f.Pending())
	}
	names, sums, err := f.Fetch(t.Context())
	if err != nil || len(names) != len(sums) {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(string(raw))
	}
	if got.String() != "1 2 3 4 5 6 7 8 9 10 11 " || f.Pending() != 0 {
		t.Errorf("joined: %q, %d bytes pending", got.String(), f.Pending())
	}
	if _, err := bucket.NewFiles(t.Context(), o, s.at("dl/none-*")); builder.KindOf(err) != builder.Input {
		t.Errorf("no part: %v, want an Input error", err)
	}
}

func TestAFolderIsAStoreToo(t *testing.T) {
	dir, o := t.TempDir(), options(t)
	for _, name := range []string{"tex/a.png", "b"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := treeOf(t, "file://"+dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"tex/": "", "tex/a.png": "tex/a.png", "b": "b"}, list(t, tree)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	f, err := bucket.NewFiles(t.Context(), o, "file://"+dir+"/*")
	if err != nil || len(f.Contents()) != 1 {
		t.Errorf("NewFiles = %v, %v, want one file", f, err)
	}
}

func TestLocations(t *testing.T) {
	for text, want := range map[string]string{
		"s3://b/p?region=eu": "s3://b/p", "gs://b": "gs://b/", "azblob://c/p/?storage_account=x": "azblob://c/p/", "file:///a/b": "file:///a/b",
		"s3://b/p?endpoint=http://127.0.0.1:9000": "s3://b/p", "s3://b/p?endpoint=https://minio.example.com": "s3://b/p",
	} {
		if l, err := bucket.Parse(text); err != nil || l.String() != want {
			t.Errorf("Parse(%q) = %v, %v, want %s", text, l, err, want)
		}
	}
	for _, text := range []string{
		"", "b/p", "http://b/p", "s3:///p", "s3://user:secret@b/p", "s3://b/p?key=x", "s3://b/p?endpoint=http://minio.example.com",
		"s3://b/p?endpoint=https://user:secret@minio.example.com", "gs://b/p?endpoint=https://x", "file://a/b", "s3://b/p#x", "s3://b:1/p", "s3://b/p?%zz",
	} {
		_, err := bucket.Parse(text)
		if builder.KindOf(err) != builder.Config {
			t.Errorf("Parse(%q) = %v, want a Config error", text, err)
		}
	}
	if !bucket.IsLocation("s3://b/p") || bucket.IsLocation("https://b/p") || bucket.IsLocation("s3:/b") {
		t.Error("IsLocation is wrong")
	}
}

func TestWithoutCredentialsAStoreIsNotReached(t *testing.T) {
	s := serve(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("HOME", t.TempDir())
	s.put(t, "a", "x")
	if _, err := treeOf(t, s.at(""), options(t)); builder.KindOf(err) != builder.Auth {
		t.Errorf("S3 without credentials: %v of kind %d, want an Auth error", err, builder.KindOf(err))
	}
	if _, err := treeOf(t, s.at("")+"&anonymous=true", options(t)); err != nil {
		t.Errorf("anonymously: %v", err)
	}
}
