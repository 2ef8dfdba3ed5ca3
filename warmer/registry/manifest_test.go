package registry_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

const ociIndex = "application/vnd.oci.image.index.v1+json"

func TestATagCostsOneHead(t *testing.T) {
	m := newContent(ociIndex, []byte(`{"schemaVersion":2}`))
	n := newNetwork()
	n.hosts[host] = func(req *http.Request) *http.Response {
		if !strings.Contains(req.Header.Get("Accept"), ociIndex) {
			t.Errorf("Accept: %q, want %s among others", req.Header.Get("Accept"), ociIndex)
		}
		resp := reply(http.StatusOK, string(m.raw), "Docker-Content-Digest", string(m.desc.Digest), "Content-Type", ociIndex+"; charset=utf-8")
		return resp
	}
	got, err := newClient(t, registry.Options{Transport: n}).Resolve(t.Context(), ref)
	if err != nil || got.Digest != m.desc.Digest || got.MediaType != ociIndex || got.Size != m.desc.Size {
		t.Errorf("Resolve = %+v, %v; want %+v", got, err, m.desc)
	}
	if got, want := fmt.Sprint(n.log), "[HEAD registry.test/v2/games/stk/manifests/1]"; got != want {
		t.Errorf("requests %s, want %s", got, want)
	}
}

func TestADigestCostsNoRequest(t *testing.T) {
	n := newNetwork()
	digest := randomBlob(1).desc.Digest
	for _, ref := range []string{"registry.test/games/stk@", "registry.test/games/stk:1@"} {
		got, err := newClient(t, registry.Options{Transport: n}).Resolve(t.Context(), ref+string(digest))
		if err != nil || got.Digest != digest || got.Size != 0 || len(n.log) != 0 {
			t.Errorf("Resolve(%s) = %+v, %v after %d requests; want %s after none", ref, got, err, len(n.log), digest)
		}
	}
}

func TestAHeadWithoutAUsableDigestIsFollowedByAGet(t *testing.T) {
	m := newContent(ociIndex, []byte(`{"schemaVersion":2}`))
	for _, digest := range []string{"", "sha256:", "sha256:../../etc", "md5:d41d8cd98f00b204e9800998ecf8427e", "latest", strings.Repeat("a", 100000)} {
		n := newNetwork()
		n.hosts[host] = func(*http.Request) *http.Response {
			return reply(http.StatusOK, string(m.raw), "Docker-Content-Digest", digest, "Content-Type", ociIndex)
		}
		got, err := newClient(t, registry.Options{Transport: n}).Resolve(t.Context(), ref)
		if err != nil || got.Digest != m.desc.Digest || got.Size != m.desc.Size || n.requests("GET") != 1 {
			t.Errorf("digest %.20q: Resolve = %+v, %v; want %+v by a GET", digest, got, err, m.desc)
		}
	}
}

func TestAManifestIsVerified(t *testing.T) {
	m := newContent("application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`))
	bare := newContent("", []byte(`{"schemaVersion":2}`))
	otherSize := m.desc
	otherSize.Size++
	for _, test := range []struct {
		name   string
		desc   warmer.Descriptor
		answer handler
		want   error
		typ    string
	}{
		{"as asked for", m.desc, store(m), nil, m.desc.MediaType},
		{"of unknown size and type", warmer.Descriptor{Digest: m.desc.Digest}, store(m), nil, m.desc.MediaType},
		{"the type inside counts", m.desc, func(*http.Request) *http.Response { return reply(200, string(m.raw), "Content-Type", "text/html") }, nil, m.desc.MediaType},
		{"then the descriptor's", warmer.Descriptor{Digest: bare.desc.Digest, MediaType: ociIndex}, func(*http.Request) *http.Response { return reply(200, string(bare.raw), "Content-Type", "text/html") }, nil, ociIndex},
		{"then the answer's", warmer.Descriptor{Digest: bare.desc.Digest}, func(*http.Request) *http.Response { return reply(200, string(bare.raw), "Content-Type", ociIndex) }, nil, ociIndex},
		{"other content", m.desc, func(*http.Request) *http.Response { return reply(200, string(bare.raw)) }, registry.ErrContent, ""},
		{"cut without notice", m.desc, func(*http.Request) *http.Response {
			r := reply(200, string(m.raw[:10]))
			r.ContentLength = -1
			return r
		}, registry.ErrContent, ""},
		{"of another size", otherSize, store(m), registry.ErrContent, ""},
		{"announced too large", m.desc, func(*http.Request) *http.Response { r := reply(200, ""); r.ContentLength = 8*mib + 1; return r }, registry.ErrContent, ""},
		{"endless", m.desc, func(*http.Request) *http.Response {
			return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(zeros{})}
		}, registry.ErrContent, ""},
		{"an empty answer", m.desc, func(*http.Request) *http.Response { return reply(204, "") }, nil, "an error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork()
			n.hosts[host] = test.answer
			raw, got, err := newClient(t, registry.Options{Transport: n}).Manifest(t.Context(), ref, test.desc)
			if test.want != nil || test.typ == "an error" {
				if err == nil || test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("Manifest = %v, want %v", err, test.want)
				}
				registryError(t, err)
				if got := n.received(host); got > 8*mib+64*kib {
					t.Errorf("%d bytes were read", got)
				}
				return
			}
			if err != nil || got.Digest != test.desc.Digest || got.Size != int64(len(raw)) || got.MediaType != test.typ {
				t.Errorf("Manifest = %+v, %v; want type %s", got, err, test.typ)
			}
		})
	}
}

func TestACutManifestIsFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newContent(ociIndex, []byte(`{"schemaVersion":2}`))
		n := newNetwork()
		n.hosts[host] = func(req *http.Request) *http.Response {
			if n.requests("GET") == 1 {
				return cut(store(m)(req), 5)
			}
			return store(m)(req)
		}
		raw, _, err := newClient(t, registry.Options{Transport: n}).Manifest(t.Context(), ref, m.desc)
		if err != nil || string(raw) != string(m.raw) {
			t.Errorf("Manifest = %q, %v; want %q", raw, err, m.raw)
		}
	})
}

func TestReferences(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for in, want := range map[string]string{
		"debian":                               "docker.io/library/debian:latest",
		"debian:12":                            "docker.io/library/debian:12",
		"index.docker.io/debian":               "docker.io/library/debian:latest",
		"games/stk":                            "docker.io/games/stk:latest",
		"localhost/stk":                        "localhost/stk:latest",
		"localhost:5000/stk":                   "localhost:5000/stk:latest",
		"registry.test/games/stk:v1.4-2":       "registry.test/games/stk:v1.4-2",
		"registry.test:5000/a/b/c:1":           "registry.test:5000/a/b/c:1",
		"[::1]:5000/stk:1":                     "[::1]:5000/stk:1",
		"registry.test/stk@" + digest:          "registry.test/stk@" + digest,
		"registry.test/stk:1@" + digest:        "registry.test/stk@" + digest,
		"debian@" + digest:                     "docker.io/library/debian@" + digest,
		"":                                     "",
		"registry.test/STK":                    "",
		"registry.test/../stk":                 "",
		"registry.test/stk@sha256:a":           "",
		"https://registry.test/stk":            "",
		"registry.test/stk:1?a=b":              "",
		strings.Repeat("a", 64):                "",
		"r.test/" + strings.Repeat("a/", 1000): "",
	} {
		got, err := registry.ParseReference(in)
		if want == "" {
			if !errors.Is(err, registry.ErrReference) {
				t.Errorf("ParseReference(%.40q) = %v, %v; want ErrReference", in, got, err)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("ParseReference(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"debian", "localhost:5000/stk:1", "[::1]:5000/stk", "r.test/a/b:1@sha256:" + strings.Repeat("a", 64), "UPPER/case", "a//b", "r.test:99999999/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := registry.ParseReference(s)
		if err != nil {
			if !errors.Is(err, registry.ErrReference) {
				t.Errorf("ParseReference(%q) = %v, want ErrReference", s, err)
			}
			return
		}
		again, err := registry.ParseReference(r.String())
		if err != nil || again != r {
			t.Errorf("ParseReference(%q) = %+v, %v; want what %q gave, %+v", r, again, err, s, r)
		}
		if r.Registry == "" || strings.ContainsAny(r.Registry, "/@?#") || strings.Contains("/"+r.Repository+"/", "/../") || (r.Tag == "") == (r.Digest == "") {
			t.Errorf("ParseReference(%q) = %+v", s, r)
		}
	})
}
