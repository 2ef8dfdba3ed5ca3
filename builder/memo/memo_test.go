package memo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder/memo"
)

const second = int64(time.Second)

// settled is the stat of a file that was left alone for a long time before it was looked at.
func settled() memo.Stat {
	return memo.Stat{Size: 7, Mtime: 1_000 * second, Ctime: 2_000 * second, Inode: 11, Dev: 12, Taken: 9_000 * second}
}

func hashOf(n int) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", n)}
}

func open(t *testing.T, cacheDir, root string) *memo.Memo {
	t.Helper()
	m, err := memo.Open(cacheDir, root)
	if err != nil {
		t.Fatalf("Open(%q, %q): %v", cacheDir, root, err)
	}
	return m
}

func save(t *testing.T, m *memo.Memo) {
	t.Helper()
	if err := m.Save(); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

// memoFile is the only file in the cache folder.
func memoFile(t *testing.T, cacheDir string) string {
	t.Helper()
	entries, err := os.ReadDir(cacheDir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("cache folder holds %v, %v; want one file", entries, err)
	}
	return filepath.Join(cacheDir, entries[0].Name())
}

func TestMemoRemembersAcrossBuilds(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "made", "on", "demand")
	m := open(t, cache, "/assets")
	m.Remember("b", settled(), hashOf(2))
	m.Remember("a/\xff\n", settled(), hashOf(1))
	save(t, m)

	again := open(t, cache, "/assets")
	later := settled()
	later.Taken += 5 * second
	for path, want := range map[string]v1.Hash{"b": hashOf(2), "a/\xff\n": hashOf(1)} {
		if got, ok := again.Lookup(path, later); !ok || got != want {
			t.Errorf("Lookup(%q) = %v, %v, want %v", path, got, ok, want)
		}
	}
	if got, ok := again.Lookup("c", settled()); ok {
		t.Errorf("Lookup of a path never remembered = %v, want none", got)
	}
}

func TestMemoMissesWhenAnyFieldDiffers(t *testing.T) {
	m := open(t, t.TempDir(), "/assets")
	m.Remember("f", settled(), hashOf(1))
	for field, change := range map[string]func(*memo.Stat){
		"size":  func(s *memo.Stat) { s.Size++ },
		"mtime": func(s *memo.Stat) { s.Mtime++ },
		"ctime": func(s *memo.Stat) { s.Ctime++ },
		"inode": func(s *memo.Stat) { s.Inode++ },
		"dev":   func(s *memo.Stat) { s.Dev++ },
	} {
		t.Run(field, func(t *testing.T) {
			s := settled()
			change(&s)
			if got, ok := m.Lookup("f", s); ok {
				t.Errorf("Lookup with another %s = %v, want none", field, got)
			}
		})
	}
	if _, ok := m.Lookup("f", settled()); !ok {
		t.Error("Lookup with the same stat found nothing")
	}
}

func TestMemoDoesNotTrustRacyFiles(t *testing.T) {
	const taken = 5_000 * second
	tests := []struct {
		name         string
		mtime, ctime int64
		want         bool
	}{
		{"both long ago", taken - 100*second, taken - 100*second, true},
		{"both just over two seconds ago", taken - 2*second, taken - 2*second, true},
		{"written a moment ago", taken - 2*second + 1, taken - 100*second, false},
		{"changed a moment ago, its mtime set back", taken - 100*second, taken - 2*second + 1, false},
		{"written a moment after the walk began", taken + second, taken - 100*second, false},
		{"mtime in the far future", taken + 100*second, taken - 100*second, true},
		{"ctime in the far future: the clock was set back", taken - 100*second, taken + 100*second, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := open(t, t.TempDir(), "/assets")
			s := memo.Stat{Size: 1, Mtime: test.mtime, Ctime: test.ctime, Taken: taken}
			m.Remember("f", s, hashOf(1))
			if _, got := m.Lookup("f", s); got != test.want {
				t.Errorf("remembered = %v, want %v", got, test.want)
			}
		})
	}
}

func TestMemoRefusesWhatIsNoSHA256(t *testing.T) {
	m := open(t, t.TempDir(), "/assets")
	for _, h := range []v1.Hash{
		{},
		{Algorithm: "sha512", Hex: strings.Repeat("0", 64)},
		{Algorithm: "sha256", Hex: "00"},
		{Algorithm: "sha256", Hex: strings.Repeat("zz", 32)},
	} {
		m.Remember("f", settled(), h)
		if got, ok := m.Lookup("f", settled()); ok {
			t.Errorf("Lookup after Remember(%v) = %v, want none", h, got)
		}
	}
}

func TestMemoKeepsRootsApart(t *testing.T) {
	cache := t.TempDir()
	m := open(t, cache, "/one")
	m.Remember("f", settled(), hashOf(1))
	save(t, m)
	if got, ok := open(t, cache, "/two").Lookup("f", settled()); ok {
		t.Errorf("Lookup below another root = %v, want none", got)
	}
	if _, ok := open(t, cache, "/one/sub/..").Lookup("f", settled()); !ok {
		t.Error("Lookup below the same root, written differently, found nothing")
	}
}

func TestMemoForgetsWhatTheBuildDidNotSee(t *testing.T) {
	cache := t.TempDir()
	m := open(t, cache, "/assets")
	m.Remember("kept", settled(), hashOf(1))
	m.Remember("deleted", settled(), hashOf(2))
	m.Remember("edited", settled(), hashOf(3))
	save(t, m)

	m = open(t, cache, "/assets")
	edited := settled()
	edited.Mtime++
	m.Lookup("kept", settled())
	m.Lookup("edited", edited)
	save(t, m)

	m = open(t, cache, "/assets")
	for path, want := range map[string]bool{"kept": true, "deleted": false, "edited": false} {
		if _, got := m.Lookup(path, settled()); got != want {
			t.Errorf("Lookup(%q) found = %v, want %v", path, got, want)
		}
	}
}

func TestSaveLeavesTheFileAlone(t *testing.T) {
	cache := t.TempDir()
	m := open(t, cache, "/assets")
	m.Remember("f", settled(), hashOf(1))
	save(t, m)
	file := memoFile(t, cache)
	long := time.Unix(1, 0)

	t.Run("when nothing changed", func(t *testing.T) {
		if err := os.Chtimes(file, long, long); err != nil {
			t.Fatal(err)
		}
		m := open(t, cache, "/assets")
		m.Lookup("f", settled())
		save(t, m)
		if info, err := os.Stat(file); err != nil || !info.ModTime().Equal(long) {
			t.Errorf("the file was written again: %v, %v", info, err)
		}
	})
	t.Run("when the build failed before it used the memo", func(t *testing.T) {
		save(t, open(t, cache, "/assets"))
		if _, ok := open(t, cache, "/assets").Lookup("f", settled()); !ok {
			t.Error("the memo was emptied")
		}
	})
}

func TestSaveFailsWhereItCannotWrite(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(cache, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m, _ := memo.Open(cache, "/assets")
	m.Remember("f", settled(), hashOf(1))
	if err := m.Save(); err == nil {
		t.Error("Save below a file succeeded")
	}
	if _, ok := m.Lookup("f", settled()); !ok {
		t.Error("the memo lost its content in memory")
	}
}

func TestDamagedMemoIsIgnoredWithAWarning(t *testing.T) {
	cache := t.TempDir()
	m := open(t, cache, "/assets")
	m.Remember("f", settled(), hashOf(1))
	save(t, m)
	file := memoFile(t, cache)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	damage := map[string][]byte{
		"empty":   {},
		"foreign": []byte("root:x:0:0:root:/root:/bin/sh\n"),
		"longer":  append(append([]byte{}, good...), 0),
	}
	for i := range good {
		damage[fmt.Sprintf("cut at %d", i)] = good[:i]
		flipped := append([]byte{}, good...)
		flipped[i] ^= 1
		damage[fmt.Sprintf("flipped at %d", i)] = flipped
	}
	for name, content := range damage {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := memo.Open(cache, "/assets")
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: Open warns %v, want a warning that names the file", name, err)
		}
		if got, ok := m.Lookup("f", settled()); ok {
			t.Errorf("%s: Lookup = %v, want none", name, got)
		}
	}

	t.Run("and replaced", func(t *testing.T) {
		m, _ := memo.Open(cache, "/assets")
		m.Remember("f", settled(), hashOf(1))
		save(t, m)
		if _, ok := open(t, cache, "/assets").Lookup("f", settled()); !ok {
			t.Error("the new file does not hold the entry")
		}
	})
}

func TestMemoOfAnotherFolderUnderOurNameIsIgnored(t *testing.T) {
	cache, other := t.TempDir(), t.TempDir()
	for dir, root := range map[string]string{cache: "/assets", other: "/secrets"} {
		m := open(t, dir, root)
		m.Remember("f", settled(), hashOf(1))
		save(t, m)
	}
	if err := os.Rename(memoFile(t, other), memoFile(t, cache)); err != nil {
		t.Fatal(err)
	}
	m, err := memo.Open(cache, "/assets")
	if err == nil {
		t.Error("Open does not warn")
	}
	if got, ok := m.Lookup("f", settled()); ok {
		t.Errorf("Lookup = %v, want none", got)
	}
}

func TestConcurrentSaversNeverDamageTheFile(t *testing.T) {
	cache := t.TempDir()
	var builds sync.WaitGroup
	for build := range 4 {
		builds.Go(func() {
			for round := range 25 {
				m, err := memo.Open(cache, "/assets")
				if err != nil {
					t.Errorf("Open: %v", err)
				}
				for i := range 100 {
					m.Remember(fmt.Sprint(i), settled(), hashOf(build*1000+round))
				}
				if err := m.Save(); err != nil {
					t.Errorf("Save: %v", err)
				}
			}
		})
	}
	builds.Wait()

	m := open(t, cache, "/assets")
	want, _ := m.Lookup("0", settled())
	for i := range 100 {
		if got, ok := m.Lookup(fmt.Sprint(i), settled()); !ok || got != want {
			t.Errorf("Lookup(%d) = %v, %v, want %v as all others of one build", i, got, ok, want)
		}
	}
	memoFile(t, cache) // no temporary file is left
}

func TestMemoIsSafeForConcurrentUse(t *testing.T) {
	m := open(t, t.TempDir(), "/assets")
	var users sync.WaitGroup
	for i := range 8 {
		users.Go(func() {
			path := fmt.Sprint(i)
			m.Remember(path, settled(), hashOf(i))
			if got, ok := m.Lookup(path, settled()); !ok || got != hashOf(i) {
				t.Errorf("Lookup(%s) = %v, %v", path, got, ok)
			}
			if err := m.Save(); err != nil {
				t.Errorf("Save: %v", err)
			}
		})
	}
	users.Wait()
}

func TestNilMemoRemembersNothing(t *testing.T) {
	var m *memo.Memo
	m.Remember("f", settled(), hashOf(1))
	if _, ok := m.Lookup("f", settled()); ok {
		t.Error("Lookup found something")
	}
	save(t, m)
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{5_000, 200_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cache := b.TempDir()
			m, _ := memo.Open(cache, "/assets")
			for i := range n {
				m.Remember(fmt.Sprintf("tracks/some_track_%03d/textures/texture_%05d.png", i%300, i), settled(), hashOf(i))
			}
			if err := m.Save(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := memo.Open(cache, "/assets"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
