package tail_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/sidecar/tail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follow collects lines; want waits for them.
type follow struct {
	t     *testing.T
	lines chan string
	marks bool // lines show all that is said of them
}

func start(t *testing.T, path string) *follow {
	t.Helper()
	return startMarked(t, path, false)
}

func startMarked(t *testing.T, path string, marks bool) *follow {
	t.Helper()
	f := &follow{t: t, lines: make(chan string, 1000), marks: marks}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- tail.Follow(ctx, path, func(l tail.Line) {
			text := []string{string(l.Text)}
			for _, m := range []struct {
				mark string
				is   bool
			}{{"[cut]", l.Cut}, {"[first]", l.First && f.marks}, {"[old]", l.Old && f.marks}} {
				if m.is {
					text = append(text, m.mark)
				}
			}
			f.lines <- strings.Join(text, " ")
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow() = %v, want the context's error", err)
		}
	})
	return f
}

func (f *follow) want(lines ...string) {
	f.t.Helper()
	for _, want := range lines {
		select {
		case got := <-f.lines:
			if got != want {
				f.t.Fatalf("line = %.60q, want %.60q", got, want)
			}
		case <-time.After(20 * time.Second):
			f.t.Fatalf("no line, want %.60q", want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestLinesComeFromTheFirstOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "one\ntwo\r\nhal")
	f := start(t, path)
	f.want("one", "two")
	write(t, path, "f\n\nlast\n")
	f.want("half", "", "last")
}

func TestAFileThatAppearsLateInAFolderThatAppearsLate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f := start(t, filepath.Join(dir, "log"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "log"), "one\n")
	f.want("one")
	write(t, filepath.Join(dir, "log"), "two\n")
	f.want("two")
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "old\n")
	f := start(t, path)
	f.want("old")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, path+".1", "late\n")
	write(t, path, "new\n")
	f.want("late", "new")
}

func TestTruncation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "a long first line\nanother\n")
	f := start(t, path)
	f.want("a long first line", "another")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, path, "new\n")
	f.want("new")
}

func TestAFilesFirstLineAndOldLinesAreMarked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "a\nb\nhal")
	f := startMarked(t, path, true)
	f.want("a [first] [old]", "b [old]")
	write(t, path, "f\nnew\n") // a line that was not whole is not old
	f.want("half", "new")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, path, "another\nx\n")
	f.want("another [first]", "x")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, path, "y\n")
	f.want("y [first]")
}

func TestALineWithoutBoundIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, strings.Repeat("x", 1<<20)+"\n\xff\xfe\x00\nnext\n")
	f := start(t, path)
	f.want(strings.Repeat("x", tail.MaxLine)+" [cut]", "\xff\xfe\x00", "next")
}

func TestLinesComeAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "0\n")
	f := start(t, path)
	f.want("0")
	var took []time.Duration
	for range 50 {
		begin := time.Now()
		write(t, path, "x\n")
		f.want("x")
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median >= tail.Poll {
		t.Errorf("the median line took %s, as if nobody was told of it", median)
	}
}

func TestItSaysWhenTheOldLinesHaveBeenRead(t *testing.T) {
	for text, want := range map[string]string{"": "", "one\ntwo\npart": "one two"} {
		path := filepath.Join(t.TempDir(), "log")
		if text != "" {
			write(t, path, text)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []string
		told := 0
		err := tail.Follow(ctx, path, func(l tail.Line) { got = append(got, string(l.Text)) }, func() {
			if told++; strings.Join(got, " ") != want {
				t.Errorf("caught up after %q, want after %q", got, want)
			}
			cancel()
		})
		if !errors.Is(err, context.Canceled) || told != 1 {
			t.Errorf("Follow() = %v, and said %d times that it caught up, want once", err, told)
		}
	}
}
