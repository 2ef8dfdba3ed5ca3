package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler answers requests to a host; nil never does.
type handler func(*http.Request) *http.Response

// network is hosts that answer in this process, by name. It counts requests and the bytes of bodies that were read.
type network struct {
	mu    sync.Mutex
	hosts map[string]handler
	log   []string // METHOD HOST/PATH
	bytes map[string]int64
}

func newNetwork() *network {
	return &network{hosts: map[string]handler{}, bytes: map[string]int64{}}
}

var errRefused = errors.New("connect: connection refused")

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.log = append(n.log, req.Method+" "+req.URL.Host+req.URL.Path)
	answer := n.hosts[req.URL.Host]
	n.mu.Unlock()
	if answer == nil {
		return nil, errRefused
	}
	resp := answer(req)
	if resp == nil { // never answers
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	resp.Request = req
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if req.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	resp.Body = &countedBody{Reader: resp.Body, n: n, host: req.URL.Host, ctx: req.Context()}
	return resp, nil
}

// requests counts those whose line begins so.
func (n *network) requests(prefix string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.log {
		if strings.HasPrefix(l, prefix) {
			count++
		}
	}
	return count
}

func (n *network) received(host string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes[host]
}

// countedBody ends with the request's context, as the real one does.
type countedBody struct {
	io.Reader
	n    *network
	host string
	ctx  context.Context
}

func (c *countedBody) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.Reader.Read(p)
	c.n.mu.Lock()
	c.n.bytes[c.host] += int64(n)
	c.n.mu.Unlock()
	return n, err
}

func (c *countedBody) Close() error { return nil }

// silent is a body that sends nothing until the request ends.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// content is a blob or manifest in a registry.
type content struct {
	raw  []byte
	desc warmer.Descriptor
}

func newContent(mediaType string, raw []byte) content {
	sum := sha256.Sum256(raw)
	return content{raw: raw, desc: warmer.Descriptor{MediaType: mediaType, Digest: warmer.Digest("sha256:" + hex.EncodeToString(sum[:])), Size: int64(len(raw))}}
}

func randomBlob(size int) content {
	raw := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(raw)
	return newContent("application/vnd.oci.image.layer.v1.tar", raw)
}

// reply makes an answer. headers are key, value, ...
func reply(status int, body string, headers ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	for i := 0; i < len(headers); i += 2 {
		resp.Header.Set(headers[i], headers[i+1])
	}
	return resp
}

// serve answers from raw, with ranges if the request has one.
func serve(req *http.Request, raw []byte) *http.Response {
	from, to, ok := rangeOf(req, len(raw))
	if !ok {
		return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(len(raw)), Body: io.NopCloser(bytes.NewReader(raw))}
	}
	return &http.Response{
		StatusCode:    http.StatusPartialContent,
		Header:        http.Header{"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", from, to, len(raw))}},
		ContentLength: int64(to - from + 1),
		Body:          io.NopCloser(bytes.NewReader(raw[from : to+1])),
	}
}

func rangeOf(req *http.Request, size int) (from, to int, ok bool) {
	v, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes=")
	if !ok {
		return 0, 0, false
	}
	first, last, _ := strings.Cut(v, "-")
	from, _ = strconv.Atoi(first)
	to = size - 1
	if last != "" {
		to, _ = strconv.Atoi(last)
	}
	return from, min(to, size-1), true
}

// store answers like a registry without tags.
func store(all ...content) handler {
	return func(req *http.Request) *http.Response {
		for _, c := range all {
			if strings.HasSuffix(req.URL.Path, "/"+string(c.desc.Digest)) {
				resp := serve(req, c.raw)
				h := http.Header{"Content-Type": {c.desc.MediaType}}
				maps.Copy(h, resp.Header)
				resp.Header = h
				return resp
			}
		}
		return reply(http.StatusNotFound, `{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}`)
	}
}

// cut breaks a body after n bytes.
func cut(resp *http.Response, n int) *http.Response {
	resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, int64(n)), failing{}))
	return resp
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func newClient(t testing.TB, o registry.Options) *registry.Client {
	t.Helper()
	c, err := registry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readAll reads a blob from offset on.
func readAll(ctx context.Context, c *registry.Client, ref string, d warmer.Descriptor, offset int64) ([]byte, error) {
	body, err := c.Blob(ctx, ref, d, offset)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(body)
	return raw, errors.Join(err, body.Close())
}

// mustRead reads a blob and compares it.
func mustRead(t testing.TB, c *registry.Client, ref string, want content, offset int64) {
	t.Helper()
	got, err := readAll(t.Context(), c, ref, want.desc, offset)
	if err != nil {
		t.Fatalf("Blob(%s, %d) = %v", ref, offset, err)
	}
	if !bytes.Equal(got, want.raw[offset:]) {
		t.Fatalf("Blob(%s, %d) has %d other bytes than the %d in the registry", ref, offset, len(got), len(want.raw)-int(offset))
	}
}

func registryError(t testing.TB, err error) *warmer.RegistryError {
	t.Helper()
	e, ok := errors.AsType[*warmer.RegistryError](err)
	if !ok {
		t.Fatalf("error %v (%T) is no RegistryError", err, err)
	}
	return e
}
