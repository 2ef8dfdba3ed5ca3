package memo_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder/memo"
)

func layer(n int) memo.KnownLayer {
	return memo.KnownLayer{
		Descriptor: v1.Descriptor{
			MediaType:   types.OCILayerZStd,
			Size:        int64(n),
			Digest:      hashOf(n),
			Annotations: map[string]string{"dev.pitcrew.phase": "assets\n"},
		},
		DiffID: hashOf(n + 1),
	}
}

func openLayers(t testing.TB, cacheDir string) *memo.Layers {
	t.Helper()
	l, err := memo.OpenLayers(cacheDir)
	if err != nil {
		t.Fatalf("OpenLayers: %v", err)
	}
	return l
}

func saveLayers(t testing.TB, l *memo.Layers) {
	t.Helper()
	if err := l.Save(); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func TestLayersAreRememberedAcrossBuilds(t *testing.T) {
	cache := t.TempDir()
	l := openLayers(t, cache)
	l.Put(hashOf(100), layer(1))
	l.Put(hashOf(200), layer(2))
	l.Put(hashOf(200), layer(3))
	saveLayers(t, l)

	l = openLayers(t, cache)
	for key, want := range map[v1.Hash]memo.KnownLayer{hashOf(100): layer(1), hashOf(200): layer(3)} {
		got, ok := l.Get(key)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("Get(%v) found = %v (-want +got):\n%s", key, ok, diff)
		}
	}
	if got, ok := l.Get(hashOf(300)); ok {
		t.Errorf("Get of an unknown key = %v", got)
	}
}

func TestIncompleteLayersAreNotRemembered(t *testing.T) {
	l := openLayers(t, t.TempDir())
	for name, spoil := range map[string]func(*memo.KnownLayer){
		"no digest":     func(k *memo.KnownLayer) { k.Descriptor.Digest = v1.Hash{} },
		"no diff ID":    func(k *memo.KnownLayer) { k.DiffID = v1.Hash{} },
		"no media type": func(k *memo.KnownLayer) { k.Descriptor.MediaType = "" },
		"negative size": func(k *memo.KnownLayer) { k.Descriptor.Size = -1 },
		"too large":     func(k *memo.KnownLayer) { k.Descriptor.Data = make([]byte, 64<<10) },
	} {
		known := layer(1)
		spoil(&known)
		l.Put(hashOf(1), known)
		if got, ok := l.Get(hashOf(1)); ok {
			t.Errorf("%s: Get = %v, want none", name, got)
		}
	}
}

func TestConcurrentBuildsKeepEachOthersLayers(t *testing.T) {
	cache := t.TempDir()
	a, b := openLayers(t, cache), openLayers(t, cache)
	a.Put(hashOf(100), layer(1))
	b.Put(hashOf(200), layer(2))
	saveLayers(t, a)
	saveLayers(t, b)
	l := openLayers(t, cache)
	for _, key := range []v1.Hash{hashOf(100), hashOf(200)} {
		if _, ok := l.Get(key); !ok {
			t.Errorf("Get(%v) found nothing", key)
		}
	}
}

func TestTheLayersUsedLastAreKept(t *testing.T) {
	const bound, extra = 20_000, 10
	cache := t.TempDir()
	l := openLayers(t, cache)
	for i := range bound + extra {
		l.Put(hashOf(i), layer(i))
	}
	l.Get(hashOf(0))
	saveLayers(t, l)

	l = openLayers(t, cache)
	kept := 0
	for i := range bound + extra {
		if _, ok := l.Get(hashOf(i)); ok {
			kept++
		}
	}
	if kept != bound {
		t.Errorf("%d layers are kept, want %d", kept, bound)
	}
	for i, want := range map[int]bool{0: true, 1: false, extra: false, extra + 1: true, bound + extra - 1: true} {
		if _, got := l.Get(hashOf(i)); got != want {
			t.Errorf("layer %d is kept: %v, want %v", i, got, want)
		}
	}
}

func TestDamagedLayersAreIgnoredWithAWarning(t *testing.T) {
	cache := t.TempDir()
	l := openLayers(t, cache)
	l.Put(hashOf(100), layer(1))
	saveLayers(t, l)
	file := memoFile(t, cache)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := append([]byte{}, good...)
		bad[i] ^= 0x20
		if err := os.WriteFile(file, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := memo.OpenLayers(cache)
		if err == nil {
			t.Errorf("flipped at %d: OpenLayers does not warn", i)
		}
		if got, ok := l.Get(hashOf(100)); ok {
			t.Errorf("flipped at %d: Get = %v", i, got)
		}
	}
	l, _ = memo.OpenLayers(cache)
	l.Put(hashOf(200), layer(2))
	saveLayers(t, l)
	if _, ok := openLayers(t, cache).Get(hashOf(200)); !ok {
		t.Error("the damaged file was not replaced")
	}
}

func TestNilLayersRememberNothing(t *testing.T) {
	var l *memo.Layers
	l.Put(hashOf(1), layer(1))
	if _, ok := l.Get(hashOf(1)); ok {
		t.Error("Get found something")
	}
	saveLayers(t, l)
}

func BenchmarkOpenLayers(b *testing.B) {
	cache := b.TempDir()
	l := openLayers(b, cache)
	for i := range 20_000 {
		l.Put(hashOf(i), layer(i))
	}
	saveLayers(b, l)
	b.ReportAllocs()
	for b.Loop() {
		openLayers(b, cache)
	}
}
