package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

const (
	host = "registry.test"
	ref  = "registry.test/games/stk:1"
	kib  = 1 << 10
	mib  = 1 << 20
)

func TestBlobsAreReadInOrderFromAnyOffset(t *testing.T) {
	for _, size := range []int{1, 1000, 64*kib - 1, 64 * kib, 64*kib + 1, 640 * kib, 700*kib + 3} {
		for _, parallel := range []int{1, 2, 4} {
			b := randomBlob(size)
			n := newNetwork()
			n.hosts[host] = store(b)
			c := newClient(t, registry.Options{Transport: n, Parallel: parallel, Chunk: 64 * kib})
			for _, offset := range []int{0, 1, size / 2, size - 1, size} {
				before := n.received(host)
				mustRead(t, c, ref, b, int64(offset))
				if got, want := n.received(host)-before, int64(size-offset); got != want {
					t.Errorf("size %d, offset %d, parallel %d: %d bytes were fetched, want %d", size, offset, parallel, got, want)
				}
			}
		}
	}
}

func TestOnlyBigBlobsAreFetchedInRanges(t *testing.T) {
	for size, want := range map[int]int{640*kib - 1: 1, 640 * kib: 10} {
		b := randomBlob(size)
		n := newNetwork()
		n.hosts[host] = store(b)
		c := newClient(t, registry.Options{Transport: n, Parallel: 4, Chunk: 64 * kib, Big: 640 * kib})
		mustRead(t, c, ref, b, 0)
		if got := n.requests("GET"); got != want {
			t.Errorf("%d bytes: %d requests, want %d", size, got, want)
		}
	}
}

func TestABlobReadsLikeAnyReader(t *testing.T) {
	b := randomBlob(300 * kib)
	n := newNetwork()
	n.hosts[host] = store(b)
	c := newClient(t, registry.Options{Transport: n, Chunk: 64 * kib})
	body, err := c.Blob(t.Context(), ref, b.desc, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if err := iotest.TestReader(body, b.raw); err != nil {
		t.Error(err)
	}
}

func TestNoRequestIsMadeForWhatIsThereAlready(t *testing.T) {
	n := newNetwork()
	c := newClient(t, registry.Options{Transport: n})
	mustRead(t, c, ref, randomBlob(10), 10)
	mustRead(t, c, ref, newContent("", nil), 0)
	if got := n.requests(""); got != 0 {
		t.Errorf("%d requests, want none", got)
	}
}

func TestAfterCutsNoByteIsFetchedTwice(t *testing.T) {
	for _, parallel := range []int{1, 4} {
		t.Run(fmt.Sprintf("parallel %d", parallel), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := randomBlob(2 * mib)
				n := newNetwork()
				var requests atomic.Int32
				n.hosts[host] = func(req *http.Request) *http.Response {
					resp := store(b)(req)
					if i := requests.Add(1); i%2 == 1 {
						return cut(resp, 100*kib+int(i))
					}
					return resp
				}
				var retried atomic.Int32
				c := newClient(t, registry.Options{Transport: n, Parallel: parallel, Chunk: 256 * kib, Retried: func(registry, reason string) {
					if registry != host || reason != "cut" {
						t.Errorf("Retried(%q, %q), want %s, cut", registry, reason, host)
					}
					retried.Add(1)
				}})
				mustRead(t, c, ref, b, 0)
				if got := n.received(host); got != b.desc.Size {
					t.Errorf("%d bytes were fetched, want each of %d once", got, b.desc.Size)
				}
				if retried.Load() == 0 {
					t.Error("Retried was not told")
				}
			})
		})
	}
}

// More cuts than attempts, but each after something came.
func TestAHostThatGetsOnIsNotGivenUp(t *testing.T) {
	for _, parallel := range []int{1, 4} {
		t.Run(fmt.Sprintf("parallel %d", parallel), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := randomBlob(2 * mib)
				n := newNetwork()
				n.hosts[host] = func(req *http.Request) *http.Response { return cut(store(b)(req), 100*kib) }
				c := newClient(t, registry.Options{Transport: n, Parallel: parallel, Chunk: 512 * kib})
				mustRead(t, c, ref, b, 0)
				if got := n.received(host); got != b.desc.Size {
					t.Errorf("%d bytes were fetched, want each of %d once", got, b.desc.Size)
				}
			})
		})
	}
}

func TestAStalledTransferIsCutAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(mib)
		n := newNetwork()
		var stalls atomic.Int32
		n.hosts[host] = func(req *http.Request) *http.Response {
			resp := store(b)(req)
			switch from, _, _ := rangeOf(req, len(b.raw)); {
			case from == 256*kib && stalls.Add(1) == 1: // sends some, then nothing
				resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, 70*kib), silent{req.Context()}))
			case from == 512*kib && stalls.Add(1) <= 2: // does not even answer
				return nil
			}
			return resp
		}
		c := newClient(t, registry.Options{Transport: n, Chunk: 256 * kib, Stall: 20 * time.Second})
		begin := time.Now()
		mustRead(t, c, ref, b, 0)
		if took := time.Since(begin); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("reading took %s, want the 20 s until the stall is noticed and a short back-off", took)
		}
		if got := n.received(host); got != b.desc.Size {
			t.Errorf("%d bytes were fetched, want each of %d once", got, b.desc.Size)
		}
	})
}

func TestAByteNowAndThenIsAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.hosts[host] = func(*http.Request) *http.Response {
			return &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: io.NopCloser(dripping{})}
		}
		var reasons []string
		c := newClient(t, registry.Options{Transport: n, Attempts: 1, Stall: 30 * time.Second, Retried: func(_, reason string) { reasons = append(reasons, reason) }})
		begin := time.Now()
		if _, _, err := c.Manifest(t.Context(), ref, randomBlob(1).desc); !errors.Is(err, warmer.ErrUnavailable) {
			t.Errorf("Manifest = %v, want ErrUnavailable", err)
		}
		if took := time.Since(begin); took > 40*time.Second || fmt.Sprint(reasons) != "[stalled]" {
			t.Errorf("it took %s and %q to give up, want 30 s until it is stalled", took, reasons)
		}
	})
}

type dripping struct{}

func (dripping) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Second)
	p[0] = 'x'
	return 1, nil
}

// withoutRanges makes a registry ignore Range.
func withoutRanges(next handler) handler {
	return func(req *http.Request) *http.Response {
		req = req.Clone(req.Context())
		req.Header.Del("Range")
		return next(req)
	}
}

func TestARegistryWithoutRanges(t *testing.T) {
	b := randomBlob(mib)
	n := newNetwork()
	n.hosts[host] = withoutRanges(store(b))
	c := newClient(t, registry.Options{Transport: n, Chunk: 64 * kib})

	t.Run("one request, each byte once", func(t *testing.T) {
		mustRead(t, c, ref, b, 0)
		if got, want := n.requests("GET"), 1; got != want {
			t.Errorf("%d requests, want %d", got, want)
		}
		if got := n.received(host); got != b.desc.Size {
			t.Errorf("%d bytes were fetched, want %d", got, b.desc.Size)
		}
	})
	t.Run("from an offset", func(t *testing.T) { mustRead(t, c, ref, b, 300*kib+1) })
	t.Run("after a cut what was read is dropped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			var requests atomic.Int32
			n.hosts[host] = func(req *http.Request) *http.Response {
				resp := withoutRanges(store(b))(req)
				if requests.Add(1) < 3 {
					return cut(resp, 200*kib)
				}
				return resp
			}
			mustRead(t, newClient(t, registry.Options{Transport: n, Chunk: 64 * kib}), ref, b, 0)
			if got, want := n.received(host), b.desc.Size+400*kib; got != want {
				t.Errorf("%d bytes were fetched, want %d", got, want)
			}
		})
	})
	t.Run("found out in the middle", func(t *testing.T) {
		n := newNetwork()
		n.hosts[host] = func(req *http.Request) *http.Response {
			if from, _, _ := rangeOf(req, len(b.raw)); from >= 256*kib {
				return withoutRanges(store(b))(req)
			}
			return store(b)(req)
		}
		mustRead(t, newClient(t, registry.Options{Transport: n, Chunk: 64 * kib}), ref, b, 0)
		if got, most := n.received(host), 3*b.desc.Size; got > most {
			t.Errorf("%d bytes were fetched, want at most %d", got, most)
		}
	})
}

func TestABlobOfAnotherSizeIsAnError(t *testing.T) {
	b := randomBlob(300 * kib)
	longer, shorter := b.desc, b.desc
	longer.Size++
	shorter.Size--
	unknownLength := func(req *http.Request) *http.Response {
		resp := withoutRanges(store(b))(req)
		resp.ContentLength = -1
		return resp
	}
	endless := func(*http.Request) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: io.NopCloser(zeros{})}
	}
	for name, answer := range map[string]handler{
		"ranges": store(b), "no ranges": withoutRanges(store(b)), "unknown length": unknownLength,
	} {
		for _, d := range []warmer.Descriptor{longer, shorter} {
			for _, chunk := range []int{64 * kib, mib} {
				t.Run(fmt.Sprintf("%s, %+d, chunks of %d", name, d.Size-b.desc.Size, chunk), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						n := newNetwork()
						n.hosts[host] = answer
						c := newClient(t, registry.Options{Transport: n, Chunk: chunk})
						if _, err := readAll(t.Context(), c, ref, d, 0); !errors.Is(err, registry.ErrContent) {
							t.Errorf("Blob of %d bytes = %v, want ErrContent", b.desc.Size, err)
						}
					})
				})
			}
		}
	}
	t.Run("endless", func(t *testing.T) {
		n := newNetwork()
		n.hosts[host] = endless
		if _, err := readAll(t.Context(), newClient(t, registry.Options{Transport: n}), ref, b.desc, 0); !errors.Is(err, registry.ErrContent) {
			t.Errorf("an endless blob = %v, want ErrContent", err)
		}
		if got, most := n.received(host), b.desc.Size+kib; got > most {
			t.Errorf("%d bytes were fetched, want at most %d", got, most)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestWrongRangesAreRefused(t *testing.T) {
	b := randomBlob(300 * kib)
	for _, contentRange := range []string{
		"", "bytes", "bytes */307200", "bytes 1-65536/307200", "bytes 0-65535/1", "bytes 0-65535/999999", "bytes 65535-0/307200",
		"bytes -1-65535/307200", "bytes 0-307200/307201", "bytes 0-99999999999999999999/307200", "items 0-65535/307200",
		"bytes 0-0/307200", "bytes 0-307200/*",
	} {
		t.Run(contentRange, func(t *testing.T) {
			n := newNetwork()
			n.hosts[host] = func(req *http.Request) *http.Response {
				resp := serve(req, b.raw)
				resp.Header.Set("Content-Range", contentRange)
				return resp
			}
			if _, err := readAll(t.Context(), newClient(t, registry.Options{Transport: n, Chunk: 64 * kib}), ref, b.desc, 0); !errors.Is(err, registry.ErrContent) {
				t.Errorf("Blob = %v, want ErrContent", err)
			}
		})
	}
	t.Run("shorter and longer ones than asked for are fine", func(t *testing.T) {
		n := newNetwork()
		n.hosts[host] = func(req *http.Request) *http.Response {
			from, to, ok := rangeOf(req, len(b.raw))
			if !ok {
				t.Error("no Range")
			}
			if (from/kib)%2 == 0 {
				to = min(from+66*kib, to)
			} else {
				to = len(b.raw) - 1
			}
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to))
			return serve(req, b.raw)
		}
		mustRead(t, newClient(t, registry.Options{Transport: n, Chunk: 100 * kib}), ref, b, 0)
	})
}

func TestBadArgumentsAreRefused(t *testing.T) {
	c := newClient(t, registry.Options{Transport: newNetwork()})
	b := randomBlob(100)
	without := b.desc
	without.Size = 0
	negative := b.desc
	negative.Size = -1
	for name, call := range map[string]func() error{
		"reference": func() error { _, err := c.Blob(t.Context(), "registry.test/UPPER", b.desc, 0); return err },
		"digest": func() error {
			_, err := c.Blob(t.Context(), ref, warmer.Descriptor{Digest: "sha256:../..", Size: 1}, 0)
			return err
		},
		"no digest":       func() error { _, err := c.Blob(t.Context(), ref, warmer.Descriptor{Size: 1}, 0); return err },
		"unknown size":    func() error { _, err := c.Blob(t.Context(), ref, without, 0); return err },
		"negative size":   func() error { _, err := c.Blob(t.Context(), ref, negative, 0); return err },
		"offset":          func() error { _, err := c.Blob(t.Context(), ref, b.desc, 101); return err },
		"negative offset": func() error { _, err := c.Blob(t.Context(), ref, b.desc, -1); return err },
		"resolve":         func() error { _, err := c.Resolve(t.Context(), ""); return err },
		"manifest":        func() error { _, _, err := c.Manifest(t.Context(), ref, warmer.Descriptor{Digest: "x"}); return err },
	} {
		if err := call(); !errors.Is(err, registry.ErrReference) {
			t.Errorf("%s: error %v, want ErrReference", name, err)
		}
	}
}

// A blob larger than what a test may hold is made up on the way.
func TestMemoryIsBoundedWhateverTheBlobsSize(t *testing.T) {
	size := 512 * mib
	if raceDetector {
		size = 64 * mib // it is slow
	}
	d := warmer.Descriptor{Digest: randomBlob(1).desc.Digest, Size: int64(size)}
	n := newNetwork()
	n.hosts[host] = func(req *http.Request) *http.Response {
		from, to, _ := rangeOf(req, size)
		return &http.Response{
			StatusCode:    http.StatusPartialContent,
			Header:        http.Header{"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", from, to, size)}},
			ContentLength: int64(to - from + 1),
			Body:          io.NopCloser(io.LimitReader(zeros{}, int64(to-from+1))),
		}
	}
	c := newClient(t, registry.Options{Transport: n})
	body, err := c.Blob(t.Context(), ref, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := io.Copy(io.Discard, struct{ io.Reader }{body})
	runtime.ReadMemStats(&after)
	if got != int64(size) || err != nil {
		t.Fatalf("read %d bytes, %v; want %d", got, err, size)
	}
	// Four buffers of 2 MiB, and a few KB for each request. Under the race detector pools forget on purpose.
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(24*mib); got > most && !raceDetector {
		t.Errorf("reading %d MiB allocated %d KiB, want at most %d", size/mib, got/kib, most/kib)
	}
	if got, most := after.HeapAlloc, before.HeapAlloc+32*mib; got > most {
		t.Errorf("the heap has %d KiB, want at most %d", got/kib, most/kib)
	}
}

// The window is what bounds memory: a reader that stands still makes the fetching stand still.
func TestAReaderThatStandsStillIsNotOutrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(4 * mib)
		n := newNetwork()
		n.hosts[host] = store(b)
		c := newClient(t, registry.Options{Transport: n, Parallel: 3, Chunk: 64 * kib})
		body, err := c.Blob(t.Context(), ref, b.desc, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		synctest.Wait()
		if got, want := n.received(host), int64(3*64*kib); got != want {
			t.Errorf("%d bytes were fetched before any was read, want %d", got, want)
		}
		if _, err := io.ReadFull(body, make([]byte, 64*kib)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got, want := n.received(host), int64(4*64*kib); got != want {
			t.Errorf("%d bytes were fetched after one chunk was read, want %d", got, want)
		}
	})
}

func TestCancellingEndsEverything(t *testing.T) {
	b := randomBlob(4 * mib)
	for name, answer := range map[string]handler{
		"while bytes come": store(b),
		"while none come": func(req *http.Request) *http.Response {
			r := store(b)(req)
			r.Body = io.NopCloser(silent{req.Context()})
			return r
		},
		"while it backs off":   func(*http.Request) *http.Response { return reply(http.StatusTooManyRequests, "", "Retry-After", "60") },
		"while nobody answers": func(*http.Request) *http.Response { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.hosts[host] = answer
				c := newClient(t, registry.Options{Transport: n, Chunk: 64 * kib})
				c.SetBandwidth(10 * kib)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				begin := time.Now()
				if _, err := readAll(ctx, c, ref, b.desc, 0); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Blob = %v, want the context's error", err)
				}
				if took := time.Since(begin); took != 5*time.Second {
					t.Errorf("it took %s to end, want 5 s", took)
				}
			})
		})
	}
	t.Run("closing early", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			n.hosts[host] = store(b)
			body, err := newClient(t, registry.Options{Transport: n, Chunk: 64 * kib}).Blob(t.Context(), ref, b.desc, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(body.Close(), body.Close()); err != nil {
				t.Error(err)
			}
			if _, err := body.Read(make([]byte, 1)); err == nil {
				t.Error("a closed blob can be read")
			}
		})
	})
}

func TestWhatArrivedBeforeAFailureIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(mib)
		n := newNetwork()
		n.hosts[host] = func(req *http.Request) *http.Response {
			if from, _, _ := rangeOf(req, len(b.raw)); from >= 128*kib {
				return reply(http.StatusForbidden, "")
			}
			return store(b)(req)
		}
		got, err := readAll(t.Context(), newClient(t, registry.Options{Transport: n, Chunk: 64 * kib, Parallel: 2}), ref, b.desc, 0)
		if !errors.Is(err, warmer.ErrDenied) {
			t.Errorf("Blob = %v, want ErrDenied", err)
		}
		if len(got) < 64*kib || !bytes.Equal(got, b.raw[:len(got)]) {
			t.Errorf("%d bytes were delivered, want at least the first chunk's", len(got))
		}
	})
}

// Whatever goes wrong, a blob is whole or there is an error: never other bytes, and never no end.
func TestAnyTroubleLeavesABlobWholeOrAnError(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			b := randomBlob(1 + r.IntN(mib))
			n := newNetwork()
			var mu sync.Mutex // for r
			trouble := func(likely int) handler {
				return func(req *http.Request) *http.Response {
					mu.Lock()
					defer mu.Unlock()
					if r.IntN(100) >= likely {
						return store(b)(req)
					}
					switch r.IntN(9) {
					case 0:
						return cut(store(b)(req), r.IntN(len(b.raw)))
					case 1:
						return reply(http.StatusServiceUnavailable, "", "Retry-After", fmt.Sprint(r.IntN(10)))
					case 2:
						return withoutRanges(store(b))(req)
					case 3:
						return cut(withoutRanges(store(b))(req), r.IntN(len(b.raw)))
					case 4:
						return nil
					case 5:
						resp := store(b)(req)
						resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, int64(r.IntN(len(b.raw)))), silent{req.Context()}))
						return resp
					case 6:
						return reply(http.StatusFound, "", "Location", "https://storage.test/"+string(b.desc.Digest))
					case 7:
						return reply(http.StatusOK, "<html>log in</html>")
					default:
						return reply(http.StatusNotFound, "")
					}
				}
			}
			n.hosts["one.test"], n.hosts["two.test:5000"], n.hosts[host] = trouble(60), trouble(40), trouble(20)
			n.hosts["storage.test"] = trouble(20)
			c := newClient(t, registry.Options{Transport: n, Chunk: 1 + r.IntN(256*kib), Parallel: 1 + r.IntN(5), HostsDir: certsD(t, host, twoMirrors)})
			if r.IntN(2) == 0 {
				c.SetBandwidth(int64(50*kib + r.IntN(mib)))
			}
			offset := r.IntN(len(b.raw))
			begin := time.Now()
			got, err := readAll(t.Context(), c, ref, b.desc, int64(offset))
			if err != nil && !errors.Is(err, registry.ErrContent) {
				registryError(t, err)
			}
			if !bytes.HasPrefix(b.raw[offset:], got) || err == nil && len(got) != len(b.raw)-offset {
				t.Errorf("seed %d: Blob(%d) = %d bytes of %d, %v", seed, offset, len(got), len(b.raw), err)
			}
			if took := time.Since(begin); took > 2*time.Hour {
				t.Errorf("seed %d: it took %s", seed, took)
			}
		})
	}
}

// Many blobs at once, with trouble, under the race detector.
func TestManyTransfersShareAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var blobs []content
		for i := range 8 {
			blobs = append(blobs, randomBlob(300*kib+i))
		}
		n := newNetwork()
		var requests atomic.Int32
		n.hosts[host] = func(req *http.Request) *http.Response {
			switch i := requests.Add(1); {
			case i%7 == 3:
				return reply(http.StatusServiceUnavailable, "")
			case i%5 == 2:
				return cut(store(blobs...)(req), 10*kib)
			default:
				return store(blobs...)(req)
			}
		}
		c := newClient(t, registry.Options{Transport: n, Chunk: 64 * kib, Attempts: 50})
		var wg sync.WaitGroup
		for _, b := range blobs {
			wg.Go(func() {
				got, err := readAll(t.Context(), c, ref, b.desc, 0)
				if err != nil || !bytes.Equal(got, b.raw) {
					t.Errorf("Blob of %d bytes = %d bytes, %v", b.desc.Size, len(got), err)
				}
			})
		}
		wg.Wait()
	})
}

func TestRangesGoStraightToWhereTheRegistrySentThem(t *testing.T) {
	b := randomBlob(mib)
	n := newNetwork()
	var expired atomic.Bool
	n.hosts[host] = func(req *http.Request) *http.Response {
		return reply(http.StatusTemporaryRedirect, "", "Location", "https://storage.test/bucket/"+string(b.desc.Digest)+"?signature=1")
	}
	n.hosts["storage.test"] = func(req *http.Request) *http.Response {
		if from, _, _ := rangeOf(req, len(b.raw)); from == 512*kib && expired.CompareAndSwap(false, true) {
			return reply(http.StatusForbidden, "")
		}
		return store(b)(req)
	}
	mustRead(t, newClient(t, registry.Options{Transport: n, Chunk: 64 * kib}), ref, b, 0)
	// At first, and when the address had expired: then perhaps for each of the ranges that are fetched at once.
	if got, most := n.requests("GET "+host), 1+4; got < 2 || got > most {
		t.Errorf("the registry was asked %d times for 16 ranges, want 2 to %d", got, most)
	}
	if got := n.received("storage.test"); got != b.desc.Size {
		t.Errorf("%d bytes came from the storage, want each of %d once", got, b.desc.Size)
	}
}
