package progress_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/internal/progress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mb is what moves in a second in these tests.
const mb = 1_000_000

// log is a destination that may be read while it is written.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// pass lets time go by in a bubble, with everything that is due done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAPlainLineEveryFiveSecondsAndOneAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out log
		r := progress.New(&out, false)
		pass(7 * time.Second)
		if out.String() != "" {
			t.Errorf("output without items: %q", out.String())
		}
		i := r.Start("layer 1", 20*mb)
		for range 12 {
			pass(time.Second)
			i.Add(mb)
		}
		grown := r.Start("layer 2", 28*mb)
		pass(3 * time.Second)
		i.Done()
		grown.Done()
		r.Close()
		want := `progress: 2.0 MB of 20 MB (10%), 667 kB/s, 27s left: layer 1
progress: 7.0 MB of 20 MB (35%), 875 kB/s, 15s left: layer 1
progress: 12 MB of 48 MB (25%), 1.0 MB/s, 36s left: layer 1, layer 2
progress: 12 MB in 15s, 800 kB/s
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

func TestAnUnknownTotalHasNeitherPercentNorETA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out log
		r := progress.New(&out, false)
		i := r.Start("unknown", -1)
		r.Start("known", 5*mb)
		i.Add(10 * mb)
		pass(5 * time.Second)
		r.Close()
		want := "progress: 10 MB, 2.0 MB/s: unknown, known\nprogress: 10 MB in 5s, 2.0 MB/s, 2 of 2 unfinished\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

func TestATotalFollowsWhatReallyMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out log
		r := progress.New(&out, false)
		more := r.Start("more than announced", 2*mb)
		more.Add(10 * mb)
		less := r.Start("less", 50*mb)
		less.Add(6 * mb)
		less.Done()
		less.Done()
		again := r.Start("sent again", 4*mb)
		again.Add(3 * mb)
		again.Add(-2 * mb)
		again.Add(-7 * mb)
		pass(5 * time.Second)
		r.Close()
		want := "progress: 16 MB of 20 MB (80%), 3.2 MB/s, 1s left: more than announced, sent again\n"
		if line, _, _ := strings.Cut(out.String(), "\n"); line+"\n" != want {
			t.Errorf("the line is %q, want %q", line, want)
		}
	})
}

func TestTheRateIsThatOfLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out log
		r := progress.New(&out, false)
		i := r.Start("a", 1000*mb)
		i.Add(500 * mb)
		pass(60 * time.Second)
		i.Add(10 * mb)
		pass(10 * time.Second)
		r.Close()
		if want := "510 MB of 1.0 GB (51%), 1.0 MB/s, 8m10s left"; !strings.Contains(out.String(), want) {
			t.Errorf("output has no %q:\n%s", want, out.String())
		}
	})
}

func TestATerminalShowsATotalAndTheActiveItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out log
		r := progress.New(&out, true)
		var items []*progress.Item
		for name := range strings.FieldsSeq("a b c d e f g h i j") {
			items = append(items, r.Start(name, 10*mb))
		}
		items[0].Add(10 * mb)
		items[1].Add(5 * mb)
		pass(time.Second)
		for _, i := range items[2:] {
			i.Add(10 * mb)
			i.Done()
		}
		items[0].Done()
		pass(time.Second)
		if _, err := r.Write([]byte("level=WARN msg=retry\n")); err != nil {
			t.Fatal(err)
		}
		want := `level=WARN msg=retry
[======================  ]  95%  95 MB of 100 MB, 48 MB/s, 0s left
  5.0 MB of 10 MB     b
`
		if diff := cmp.Diff(want, screen(t, out.String())); diff != "" {
			t.Errorf("screen (-want +got):\n%s", diff)
		}
		items[1].Add(5 * mb)
		items[1].Done()
		r.Close()
		if diff := cmp.Diff("level=WARN msg=retry\n100 MB in 2s, 50 MB/s\n", screen(t, out.String())); diff != "" {
			t.Errorf("screen after Close (-want +got):\n%s", diff)
		}
	})
}

func TestATerminalHasRoomForManyItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out log
		r := progress.New(&out, true)
		for range 500 {
			r.Start("layer", 0)
		}
		pass(time.Second)
		got := screen(t, out.String())
		if n := strings.Count(got, "\n"); n > 10 || !strings.Contains(got, "and 492 more") {
			t.Errorf("%d rows, want at most 10 and the number of the others:\n%s", n, got)
		}
		r.Close()
	})
}

func TestANameDoesNotSteerTheTerminal(t *testing.T) {
	for _, tty := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var out log
			r := progress.New(&out, tty)
			r.Start("a\x1b[2J\nb\r\u202ec", mb)
			pass(5 * time.Second)
			r.Close()
			if want := "a\ufffd[2J\ufffdb\ufffd\ufffdc\n"; !strings.Contains(out.String(), want) {
				t.Errorf("terminal %t: output %q, want %q in it", tty, out.String(), want)
			}
		})
	}
}

func TestLinesOfOthersPassBeforeBetweenAndAfter(t *testing.T) {
	for _, tty := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var out log
			r := progress.New(&out, tty)
			write := func(line string) {
				if n, err := r.Write([]byte(line)); n != len(line) || err != nil {
					t.Errorf("Write(%q) = %d, %v", line, n, err)
				}
			}
			write("first\n")
			i := r.Start("a", mb)
			pass(5 * time.Second)
			write("no line end")
			i.Done()
			r.Close()
			write("last\n")
			got := screen(t, out.String())
			for _, want := range []string{"first\n", "no line end", "last\n"} {
				if strings.Count(got, want) != 1 {
					t.Errorf("terminal %t: %q is there %d times:\n%s", tty, want, strings.Count(got, want), got)
				}
			}
		})
	}
}

// stuck is a terminal that somebody stopped with Ctrl-S.
type stuck chan struct{}

func (s stuck) Write(p []byte) (int, error) {
	<-s
	return len(p), nil
}

func TestAStuckTerminalDoesNotHoldUpTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		terminal := make(stuck)
		r := progress.New(terminal, true)
		r.Start("a", mb)
		pass(time.Minute) // the reporter hangs in Write now
		i := r.Start("b", mb)
		i.Add(1)
		i.Done()
		close(terminal)
		r.Close()
	})
}

func TestNilReportsNothing(t *testing.T) {
	var r *progress.Reporter
	i := r.Start("a", 1)
	i.Add(1)
	i.Done()
	if n, err := r.Write([]byte("log")); n != 3 || err != nil {
		t.Errorf("Write = %d, %v, want 3 and no error", n, err)
	}
	r.Close()
}

func TestManyGoroutinesCount(t *testing.T) {
	var out log
	r := progress.New(&out, true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				i := r.Start("a", 1000)
				i.Add(1000)
				i.Done()
			}
		})
	}
	wg.Wait()
	r.Close()
	r.Close()
	if got := screen(t, out.String()); !strings.HasPrefix(got, "800 kB in ") {
		t.Errorf("the end is %q, want 800 kB", got)
	}
}
