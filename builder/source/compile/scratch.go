package compile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/filelock"
)

// What is in the cache folder, and in a scratch folder.
const (
	folder   = "compile"
	logsName = "logs"
	workName = "work" // sources, and what the command makes of them
	homeName = "home"
	tempName = "tmp"
)

// scratch is a locked, empty scratch folder.
type scratch struct {
	dir    string
	unlock func()
}

// openScratch waits until nobody else uses the platform's folder, and empties it.
func (r *Resolved) openScratch(ctx context.Context) (_ *scratch, err error) {
	name := strings.ReplaceAll(r.platform.String(), "/", "-")
	s := &scratch{dir: filepath.Join(r.options.CacheDir, folder, name)}
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	if s.unlock, err = filelock.Lock(ctx, s.dir+".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := clean(s.dir); err != nil {
		return nil, err
	}
	for _, sub := range []string{workName, homeName, tempName} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("make scratch folder: %w", err)
		}
	}
	return s, nil
}

func (s *scratch) work() string { return filepath.Join(s.dir, workName) }

// close ends what still runs in the folder, and removes it.
func (s *scratch) close() error {
	err := clean(s.dir)
	s.unlock()
	return err
}

// clean removes a scratch folder that the caller has locked, and ends processes that were started in it: those of a
// command that is over, or of a builder that was killed.
func clean(dir string) error {
	endProcesses(dir)
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) { // folders that the command made read-only
		makeWritable(dir)
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("remove scratch folder: %w", err)
	}
	return nil
}

func makeWritable(dir string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return // RemoveAll says why
	}
	defer root.Close()
	_ = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, _ error) error { // RemoveAll says what failed
		if d != nil && d.IsDir() {
			_ = root.Chmod(p, 0o700) // likewise
		}
		return nil
	})
}

// Sweep removes the scratch folders in a cache folder that nobody uses, and ends what still runs in them. Builders that
// were killed leave such.
func Sweep(cacheDir string) error {
	found, err := filepath.Glob(filepath.Join(cacheDir, folder, "*.lock"))
	if err != nil {
		return fmt.Errorf("look for scratch folders: %w", err)
	}
	// A context that is over makes the lock's first try the last.
	now, cancel := context.WithDeadline(context.Background(), time.Time{})
	defer cancel()
	for _, lock := range found {
		unlock, lerr := filelock.Lock(now, lock)
		if lerr != nil {
			continue // somebody compiles
		}
		dir := strings.TrimSuffix(lock, ".lock")
		if _, serr := os.Lstat(dir); serr == nil {
			err = errors.Join(err, clean(dir))
		}
		unlock()
	}
	return err
}
