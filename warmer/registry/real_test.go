package registry_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/pitcrew-dev/pitcrew/internal/counted"
	"github.com/pitcrew-dev/pitcrew/internal/distributiontest"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

// server is a registry on loopback, without TLS, that counts.
type server struct {
	addr     string
	requests atomic.Int32
	bytes    atomic.Int64 // of bodies of answers
	cuts     atomic.Int32 // how many answers shall be cut
}

func newServer(t *testing.T, next http.Handler) *server {
	t.Helper()
	s := &server{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.requests.Add(1)
		most := int64(1 << 40)
		if req.Method == http.MethodGet && s.cuts.Add(-1) >= 0 {
			most = 50 * kib
		}
		next.ServeHTTP(&countedWriter{ResponseWriter: w, s: s, most: most}, req)
	}))
	t.Cleanup(h.Close)
	s.addr = h.Listener.Addr().String()
	return s
}

// countedWriter breaks the connection after so many bytes.
type countedWriter struct {
	http.ResponseWriter
	s    *server
	most int64
}

func (w *countedWriter) Write(p []byte) (int, error) {
	p = p[:min(int64(len(p)), w.most)]
	w.s.bytes.Add(int64(len(p))) // before the client can have them
	n, err := w.ResponseWriter.Write(p)
	w.s.bytes.Add(int64(n - len(p)))
	if w.most -= int64(n); w.most == 0 {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// upload puts blobs and a manifest under games/stk:1.
func upload(t *testing.T, addr string, manifest content, blobs ...content) {
	t.Helper()
	for _, b := range blobs {
		resp, err := http.Post("http://"+addr+"/v2/games/stk/blobs/uploads/", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		location, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		q := location.Query()
		q.Set("digest", string(b.desc.Digest))
		location.RawQuery = q.Encode()
		put(t, location.String(), b)
	}
	put(t, "http://"+addr+"/v2/games/stk/manifests/1", manifest)
}

func put(t *testing.T, url string, c content) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(c.raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", c.desc.MediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("PUT %s: %s: %s", url, resp.Status, body)
	}
}

// image is a manifest with a config and a layer.
func image(layer content) (manifest, config content) {
	config = newContent("application/vnd.oci.image.config.v1+json", []byte(`{"architecture":"arm64","os":"linux"}`))
	const typ = "application/vnd.oci.image.manifest.v1+json"
	return newContent(typ, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		typ, config.desc.MediaType, config.desc.Digest, config.desc.Size, layer.desc.MediaType, layer.desc.Digest, layer.desc.Size)), config
}

func newImageOn(t *testing.T, addr string) (manifest, layer content) {
	t.Helper()
	layer = randomBlob(9*mib + 17)
	manifest, config := image(layer)
	upload(t, addr, manifest, config, layer)
	return manifest, layer
}

func TestAgainstRealRegistries(t *testing.T) {
	for _, name := range []string{"go-containerregistry", "docker-registry"} {
		t.Run(name, func(t *testing.T) {
			handler := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
			if name == "docker-registry" {
				handler = proxyTo(distributiontest.Start(t))
			}
			s := newServer(t, handler)
			manifest, layer := newImageOn(t, s.addr)
			c := newClient(t, registry.Options{})
			t.Cleanup(c.Close)
			ref := s.addr + "/games/stk:1"

			s.requests.Store(0)
			d, err := c.Resolve(t.Context(), ref)
			if err != nil || d.Digest != manifest.desc.Digest || d.MediaType != manifest.desc.MediaType || d.Size != manifest.desc.Size {
				t.Fatalf("Resolve = %+v, %v; want %+v", d, err, manifest.desc)
			}
			if got := s.requests.Load(); got != 1 {
				t.Errorf("Resolve made %d requests, want one", got)
			}
			raw, _, err := c.Manifest(t.Context(), ref, d)
			if err != nil || !bytes.Equal(raw, manifest.raw) {
				t.Fatalf("Manifest = %s, %v", raw, err)
			}

			for _, offset := range []int64{0, 1, 3*mib + 5, layer.desc.Size - 1} {
				s.requests.Store(0)
				s.bytes.Store(0)
				mustRead(t, c, ref, layer, offset)
				want := layer.desc.Size - offset
				if got := s.bytes.Load(); got != want {
					t.Errorf("from %d on the registry sent %d bytes, want %d", offset, got, want)
				}
				if got, want := int64(s.requests.Load()), (want+registry.DefaultChunk-1)/registry.DefaultChunk; got != want {
					t.Errorf("from %d on %d requests were made, want %d", offset, got, want)
				}
			}

			// A cut connection loses what was on the way, which nobody can know from here; the registry sees no more than that.
			s.bytes.Store(0)
			s.cuts.Store(3)
			mustRead(t, c, ref, layer, 0)
			if got, most := s.bytes.Load(), layer.desc.Size+3*50*kib; got > most {
				t.Errorf("after 3 cuts the registry sent %d bytes, want at most %d", got, most)
			}

			if _, err := readAll(t.Context(), c, ref, randomBlob(5).desc, 0); !errors.Is(err, warmer.ErrNotFound) {
				t.Errorf("Blob that is not there = %v, want ErrNotFound", err)
			}
			if _, err := c.Resolve(t.Context(), s.addr+"/games/stk:2"); !errors.Is(err, warmer.ErrNotFound) {
				t.Errorf("Resolve of a tag that is not there = %v, want ErrNotFound", err)
			}
		})
	}
}

// proxyTo passes requests on.
func proxyTo(addr string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		out := req.Clone(req.Context())
		out.RequestURI = ""
		out.URL.Scheme, out.URL.Host = "http", addr
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
}

func TestHTTP2(t *testing.T) {
	b := randomBlob(9 * mib)
	var other atomic.Int32
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ProtoMajor != 2 {
			other.Add(1)
		}
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b.raw))
	}))
	h.EnableHTTP2 = true
	h.StartTLS()
	t.Cleanup(h.Close)
	c := newClient(t, registry.Options{HostsDir: certsD(t, host, fmt.Sprintf("server = %q\nskip_verify = true\n", h.URL))})
	t.Cleanup(c.Close)
	mustRead(t, c, ref, b, 0)
	if got := other.Load(); got != 0 {
		t.Errorf("%d requests did not use HTTP/2", got)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", strings.Repeat("a", mib))
	}))
	t.Cleanup(h.Close)
	c := newClient(t, registry.Options{PlainHTTP: true, Attempts: 1})
	t.Cleanup(c.Close)
	if _, err := c.Resolve(t.Context(), h.Listener.Addr().String()+"/stk:1"); !errors.Is(err, warmer.ErrUnavailable) {
		t.Errorf("Resolve with a header of 1 MiB = %v, want ErrUnavailable", err)
	}
}

// What a node does most: a layer over loopback, in one stream and in ranges.
func BenchmarkBlob(b *testing.B) {
	layer := randomBlob(64 * mib)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(layer.raw))
	}))
	b.Cleanup(h.Close)
	for _, parallel := range []int{1, 4} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			c := newClient(b, registry.Options{PlainHTTP: true, Parallel: parallel})
			b.Cleanup(c.Close)
			b.ReportAllocs()
			b.SetBytes(layer.desc.Size)
			for b.Loop() {
				body, err := c.Blob(b.Context(), h.Listener.Addr().String()+"/games/stk:1", layer.desc, 0)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, body); err != nil {
					b.Fatal(err)
				}
				body.Close()
			}
		})
	}
}

// A limit that only the reading side keeps lets the other side send as fast as it can, a chunk at a time: most of all when
// it comes after a transfer at full speed, for which the system has made room.
func TestSendersKeepToTheBandwidth(t *testing.T) {
	const size, rate = 1 << 30, 2 * mib
	var sent atomic.Int64
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.ServeContent(counted.Answer(w, &sent), req, "", time.Time{}, io.NewSectionReader(zerosAt{}, 0, size))
	}))
	h.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			_ = c.(*net.TCPConn).SetWriteBuffer(16 * kib) // counted as sent
		}
	}
	h.Start()
	t.Cleanup(h.Close)
	c := newClient(t, registry.Options{PlainHTTP: true})
	t.Cleanup(c.Close)
	d := warmer.Descriptor{Digest: randomBlob(1).desc.Digest, Size: size}
	body, err := c.Blob(t.Context(), h.Listener.Addr().String()+"/games/stk:1", d, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.CopyN(io.Discard, body, 128*mib); err != nil {
		t.Fatal(err)
	}
	c.SetBandwidth(rate)
	begin, before := time.Now(), sent.Load()
	for time.Since(begin) < time.Second/2 {
		if _, err := io.CopyN(io.Discard, body, kib); err != nil {
			t.Fatal(err)
		}
	}
	ahead := sent.Load() - before - int64(time.Since(begin).Seconds()*rate)
	if most := int64(768 * kib); ahead > most { // without small receive buffers: 850 KiB to 2650 KiB
		t.Errorf("%d KiB more were sent than the bandwidth allows, want at most %d", ahead/kib, most/kib)
	}
}

type zerosAt struct{}

func (zerosAt) ReadAt(p []byte, _ int64) (int, error) { return zeros{}.Read(p) }

// authority signs certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue gives a certificate and its key in PEM form.
func (a authority) issue(t *testing.T) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

func TestTLSIsConfiguredByHostsToml(t *testing.T) {
	ca := newAuthority(t)
	serverCert, serverKey := ca.issue(t)
	clientCert, clientKey := ca.issue(t)
	pair, err := tls.X509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	b := randomBlob(5 * mib)
	start := func(auth tls.ClientAuthType) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b.raw))
		}))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: auth, ClientCAs: pool}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	open, closed := start(tls.NoClientCert), start(tls.RequireAndVerifyClientCert)
	const ca1, client = "ca = \"ca.pem\"\n", "client = [[\"node.cert\", \"node.key\"]]\n"
	for _, test := range []struct {
		name, server, text string
		files              map[string][]byte
		ok                 bool
	}{
		{"an unknown authority", "https://" + open, "", nil, false},
		{"a known one", "https://" + open, ca1, map[string][]byte{"ca.pem": ca.pem()}, true},
		{"another one", "https://" + open, ca1, map[string][]byte{"ca.pem": newAuthority(t).pem()}, false},
		{"no verification", "https://" + open, "skip_verify = true\n", nil, true},
		{"http in the file, TLS on the wire", "http://" + open, "skip_verify = true\n", nil, true},
		{"a client certificate is wanted", "https://" + closed, ca1, map[string][]byte{"ca.pem": ca.pem()}, false},
		{"a client certificate is given", "https://" + closed, ca1 + client, map[string][]byte{"ca.pem": ca.pem(), "node.cert": clientCert, "node.key": clientKey}, true},
		{"a certificate that is none", "https://" + closed, ca1 + client, map[string][]byte{"ca.pem": ca.pem(), "node.cert": clientKey, "node.key": clientKey}, false},
		{"an authority that is none", "https://" + open, ca1, map[string][]byte{"ca.pem": []byte("x")}, false},
		{"a file is missing", "https://" + open, ca1, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := certsD(t, host, fmt.Sprintf("server = %q\n%s", test.server, test.text))
			for name, raw := range test.files {
				if err := os.WriteFile(filepath.Join(dir, host, name), raw, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := newClient(t, registry.Options{HostsDir: dir, Attempts: 1})
			defer c.Close()
			got, err := readAll(t.Context(), c, ref, b.desc, 0)
			if (err == nil) != test.ok || test.ok && !bytes.Equal(got, b.raw) {
				t.Errorf("Blob = %d bytes, %v; want success: %v", len(got), err, test.ok)
			}
		})
	}
}
