package dir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/source/dir"
)

// BenchmarkNoChange is what a build pays for an asset folder of SuperTuxKart's shape in which nothing changed: read
// the memo, walk, look everything up, digest the listing. The bar is 40 ms on two cores.
func BenchmarkNoChange(b *testing.B) {
	root, cache := b.TempDir(), b.TempDir()
	for d := range 330 {
		folder := filepath.Join(root, fmt.Sprintf("group%02d", d%20), fmt.Sprintf("track%03d", d))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			b.Fatal(err)
		}
		for f := range 16 {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("texture_%02d.png", f)), []byte(folder), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	remember(b, cache, root)
	exclude := []string{"**/.git/**", "**/*.xcf"}

	b.ReportAllocs()
	for b.Loop() {
		m, err := memo.Open(cache, root)
		if err != nil {
			b.Fatal(err)
		}
		r := mustResolve(b, root, dir.Options{Memo: m, Exclude: exclude, Hash: new(hasher).hash})
		if _, err := r.InputDigest(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// remember fills the memo as if the files had been left alone for a while: it overrides when they were looked at.
func remember(b *testing.B, cache, root string) {
	b.Helper()
	m, err := memo.Open(cache, root)
	if err != nil {
		b.Fatal(err)
	}
	for e := range treeOf(b, mustResolve(b, root, dir.Options{})).Files() {
		stat := statOf(b, filepath.Join(root, e.Path))
		m.Remember(e.Path, stat, v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", stat.Inode)})
	}
	if err := m.Save(); err != nil {
		b.Fatal(err)
	}
}

func statOf(b *testing.B, name string) memo.Stat {
	b.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		b.Fatal(err)
	}
	mtime, ctime := st.Mtim.Nano(), st.Ctim.Nano()
	return memo.Stat{
		Size: st.Size, Mtime: mtime, Ctime: ctime, Inode: st.Ino, Dev: uint64(st.Dev), //nolint:unconvert // int32 on macOS
		Taken: ctime + int64(time.Hour),
	}
}
