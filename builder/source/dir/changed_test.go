package dir_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/dir"
)

// oneFile is a folder with sub/file in it, and the content of that as the walk found it.
func oneFile(t *testing.T) (root string, content builder.Content) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "root")
	fill(t, root, [2]string{"sub/file", strings.Repeat("x", 10_000)})
	tree := treeOf(t, mustResolve(t, root, dir.Options{}))
	return root, tree.Entries[1].Content
}

func wantChanged(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, builder.ErrChanged) {
		t.Fatalf("error is %v, want one that matches ErrChanged", err)
	}
	wantError(t, err, builder.Input, `"sub/file"`)
}

func TestContentCanBeReadAgainAndAgain(t *testing.T) {
	_, content := oneFile(t)
	for range 2 {
		if got, err := read(content); err != nil || len(got) != 10_000 {
			t.Fatalf("read %d bytes, %v, want 10000", len(got), err)
		}
	}
}

func TestChangesBetweenWalkAndOpenAreNoticed(t *testing.T) {
	for name, change := range map[string]func(root, file string) error{
		"written to": func(_, file string) error { return os.WriteFile(file, []byte("y"), 0o644) },
		"same size, mtime put back": func(_, file string) error {
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			return errors.Join(
				os.WriteFile(file, []byte(strings.Repeat("y", 10_000)), 0o644),
				os.Chtimes(file, info.ModTime(), info.ModTime()),
			)
		},
		"truncated": func(_, file string) error { return os.Truncate(file, 5) },
		"removed":   func(_, file string) error { return os.Remove(file) },
		"replaced by an equal file": func(_, file string) error {
			return errors.Join(os.Rename(file, file+"~"), os.WriteFile(file, []byte(strings.Repeat("x", 10_000)), 0o644))
		},
		"replaced by a FIFO":   func(_, file string) error { return errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o644)) },
		"replaced by a folder": func(_, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o755)) },
		"replaced by a link to itself": func(_, file string) error {
			return errors.Join(os.Remove(file), os.Symlink("file", file))
		},
		"its folder became a file": func(root, _ string) error {
			return errors.Join(os.RemoveAll(root+"/sub"), os.WriteFile(root+"/sub", nil, 0o644))
		},
		"its folder became a link that leads outside": func(root, _ string) error {
			return errors.Join(os.Rename(root+"/sub", root+"/../outside"), os.Symlink("../outside", root+"/sub"))
		},
		"the whole root went away": func(root, _ string) error { return os.Rename(root, root+"~") },
	} {
		t.Run(name, func(t *testing.T) {
			root, content := oneFile(t)
			tick(t, filepath.Join(root, "sub/file"))
			if err := change(root, filepath.Join(root, "sub/file")); err != nil {
				t.Fatal(err)
			}
			_, err := content.Open()
			wantChanged(t, err)
		})
	}
}

// tick returns when the file system's clock, which may be coarse, shows another time than when file was changed.
func tick(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	probe := filepath.Join(t.TempDir(), "probe")
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err := os.WriteFile(probe, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		if now, err := os.Stat(probe); err == nil && now.ModTime().After(info.ModTime()) {
			return
		}
	}
	t.Fatal("the file system's clock stands still")
}

func TestChangesWhileReadingAreNoticed(t *testing.T) {
	half := make([]byte, 5_000)
	for name, change := range map[string]func(file string) error{
		"grown":       func(file string) error { return appendTo(file, "more") },
		"cut short":   func(file string) error { return os.Truncate(file, 5_000) },
		"overwritten": func(file string) error { return os.WriteFile(file, []byte(strings.Repeat("y", 10_000)), 0o644) },
		"replaced":    func(file string) error { return os.Rename(file, file+"~") },
	} {
		for _, end := range []string{"EOF", "Close"} {
			t.Run(name+", found out at "+end, func(t *testing.T) {
				root, content := oneFile(t)
				file := filepath.Join(root, "sub/file")
				tick(t, file)
				r, err := content.Open()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(r, half); err != nil {
					t.Fatal(err)
				}
				if err := change(file); err != nil {
					t.Fatal(err)
				}
				if end == "EOF" {
					rest, err := io.ReadAll(r)
					wantChanged(t, err)
					if len(rest) > 5_000 {
						t.Errorf("read %d bytes more than the file had", len(rest)-5_000)
					}
				}
				wantChanged(t, r.Close())
				if err := r.Close(); err != nil {
					t.Errorf("second Close = %v", err)
				}
			})
		}
	}
}

func appendTo(file, more string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(more)
	return errors.Join(err, f.Close())
}

// An attacker who owns the folder swaps a part of it for a symlink to elsewhere, again and again, during the walk.
func TestNothingOutsideIsListedWhateverIsSwapped(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "root")
	fill(t, base,
		[2]string{"root/sub/deep/mine", ""},
		[2]string{"root/other", "-> ../outside"},
		[2]string{"outside/deep/secret", ""},
	)
	stop := make(chan struct{})
	var attacker sync.WaitGroup
	attacker.Go(func() {
		for swap := true; ; swap = !swap {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(filepath.Join(root, "sub"), filepath.Join(root, "aside"))
				_ = os.Rename(filepath.Join(root, "other"), filepath.Join(root, "sub"))
				_ = os.Rename(filepath.Join(root, "aside"), filepath.Join(root, "other"))
			}
		}
	})
	defer attacker.Wait()
	defer close(stop)

	walks := 0
	for range 500 {
		r, err := resolve(root, dir.Options{})
		if err != nil {
			if !errors.Is(err, builder.ErrChanged) {
				t.Fatalf("Resolve = %v, want a tree or ErrChanged", err)
			}
			continue
		}
		walks++
		for _, e := range treeOf(t, r).Entries {
			if strings.Contains(e.Path, "secret") {
				t.Fatalf("the tree holds %q", e.Path)
			}
		}
	}
	t.Logf("%d of 500 walks got through", walks)
}
