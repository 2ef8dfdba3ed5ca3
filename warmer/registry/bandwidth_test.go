package registry_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

// within says whether got is want give or take three percent.
func within(got, want time.Duration) bool {
	return got > want*97/100 && got < want*103/100
}

func TestBandwidthIsSharedByAllTransfers(t *testing.T) {
	for _, rate := range []int64{100 * kib, mib, 50 * mib} {
		synctest.Test(t, func(t *testing.T) {
			blobs := []content{randomBlob(4 * mib), randomBlob(4*mib - 1), randomBlob(8 * mib)}
			n := newNetwork()
			n.hosts[host], n.hosts["other.test"] = store(blobs...), store(blobs...)
			var throttled atomic.Int64
			c := newClient(t, registry.Options{Transport: n, Chunk: 256 * kib, Throttled: func(d time.Duration) { throttled.Add(int64(d)) }})
			c.SetBandwidth(rate)
			begin := time.Now()
			var wg sync.WaitGroup
			for i, b := range blobs {
				wg.Go(func() { mustRead(t, c, []string{ref, "other.test/stk:1"}[i%2], b, 0) })
			}
			wg.Wait()
			want := time.Duration(float64(16*mib) / float64(rate) * float64(time.Second))
			if took := time.Since(begin); !within(took, want) {
				t.Errorf("16 MiB at %d bytes/s took %s, want %s", rate, took, want)
			}
			if throttled.Load() == 0 {
				t.Error("Throttled was not told")
			}
		})
	}
}

func TestBandwidthCanBeChangedDuringATransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(16 * mib)
		n := newNetwork()
		n.hosts[host] = store(b)
		c := newClient(t, registry.Options{Transport: n})
		c.SetBandwidth(mib)
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { mustRead(t, c, ref, b, 0) })
		time.Sleep(4 * time.Second)
		c.SetBandwidth(2 * mib)
		time.Sleep(2 * time.Second)
		c.SetBandwidth(1) // as good as nothing
		time.Sleep(time.Minute)
		if got, most := n.received(host), int64(8*mib+256*kib); got > most {
			t.Errorf("%d bytes were received until then, want at most %d", got, most)
		}
		c.SetBandwidth(4 * mib)
		time.Sleep(time.Second)
		c.SetBandwidth(0)
		wg.Wait()
		if took, want := time.Since(begin), 67*time.Second; !within(took, want) {
			t.Errorf("the transfer took %s, want %s", took, want)
		}
	})
}

// What is not taken while nobody reads does not come in a burst afterwards.
func TestBandwidthIsNotSavedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(4 * mib)
		n := newNetwork()
		n.hosts[host] = store(b)
		c := newClient(t, registry.Options{Transport: n})
		c.SetBandwidth(mib)
		time.Sleep(time.Hour)
		begin := time.Now()
		mustRead(t, c, ref, b, 0)
		if took := time.Since(begin); !within(took, 4*time.Second) {
			t.Errorf("4 MiB at 1 MiB/s took %s after an hour's rest, want 4s", took)
		}
	})
}

func TestManifestsUseTheBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newContent("application/vnd.oci.image.index.v1+json", make([]byte, mib))
		n := newNetwork()
		n.hosts[host] = store(m)
		c := newClient(t, registry.Options{Transport: n})
		c.SetBandwidth(256 * kib)
		begin := time.Now()
		if _, _, err := c.Manifest(t.Context(), ref, m.desc); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); !within(took, 4*time.Second) {
			t.Errorf("1 MiB at 256 KiB/s took %s, want 4s", took)
		}
	})
}
