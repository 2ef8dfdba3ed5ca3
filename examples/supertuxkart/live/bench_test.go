package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
)

var doc = flag.String("doc", "", "the file that benchmarks write their table to")

// figure is what was measured, against a bar.
type figure struct {
	What     string
	Measured float64
	Unit     string
	AtMost   float64 // 0: no bar
}

// measured is a file that all processes of a run append to, a figure a line.
func measured() string { return filepath.Join(shared.dir, "measured") }

func record(b *testing.B, f figure) {
	b.Helper()
	raw, err := json.Marshal(f)
	if err != nil {
		b.Fatal(err)
	}
	file, err := os.OpenFile(measured(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s\n", raw); err != nil {
		b.Fatal(err)
	}
	if f.AtMost > 0 && f.Measured > f.AtMost {
		b.Errorf("%s: %g %s, want at most %g", f.What, f.Measured, f.Unit, f.AtMost)
	}
}

// writeDoc makes the table of what was measured.
func writeDoc() error {
	raw, err := os.ReadFile(measured())
	if err != nil || *doc == "" {
		return nil // no benchmark ran
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `# The sidecar's footprint and latency

Written by `+"`make bench-sidecar`"+` (examples/supertuxkart/live) on %s: do not edit. One run on one machine (%d cores, %s) with
the real SuperTuxKart server and real headless bots, which share those cores with the sidecar.

| | measured | at most | |
|---|---|---|---|
`, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	for line := range bytes.Lines(raw) {
		var f figure
		if err := json.Unmarshal(line, &f); err != nil {
			return err
		}
		bar, verdict := "", ""
		if f.AtMost > 0 {
			bar, verdict = strconv.FormatFloat(f.AtMost, 'g', 4, 64)+" "+f.Unit, "kept"
			if f.Measured > f.AtMost {
				verdict = "MISSED"
			}
		}
		fmt.Fprintf(&out, "| %s | %s %s | %s | %s |\n", f.What, strconv.FormatFloat(f.Measured, 'g', 3, 64), f.Unit, bar, verdict)
	}
	return os.WriteFile(*doc, out.Bytes(), 0o644)
}

// stamps notes when the SDK server was called.
type stamps struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (s *stamps) Enabled(context.Context, slog.Level) bool { return true }
func (s *stamps) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *stamps) WithGroup(string) slog.Handler            { return s }
func (s *stamps) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		if _, ok := s.at[a.Value.String()]; !ok {
			s.at[a.Value.String()] = r.Time
		}
		return true
	})
	return nil
}

func (s *stamps) of(call string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.at[call]
	return at, ok
}

// starts is how often readiness is measured: enough for a 99th percentile.
const starts = 120

// BenchmarkReadiness is the time from the line "Listening has been started" in the server's log to the call of Ready.
func BenchmarkReadiness(b *testing.B) {
	if !alone(b) {
		return
	}
	var took []time.Duration
	for range starts {
		took = append(took, readiness(b))
	}
	slices.Sort(took)
	at := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000 }
	record(b, figure{"from \"Listening has been started\" to the call of Ready, median of " + strconv.Itoa(starts) + " starts", at(50), "ms", 0})
	record(b, figure{"the same, 99th percentile", at(99), "ms", 50})
}

func readiness(b *testing.B) time.Duration {
	b.Helper()
	calls := &stamps{at: map[string]time.Time{}}
	r := newRigWith(b, sidecartest.Options{Log: slog.New(calls)})
	defer r.end()
	r.startSidecar()
	r.until("the sidecar's watch", func() bool { return r.calls("WatchGameServer") > 0 })
	r.startGame()
	listening := r.listening()
	r.untilState(sidecar.Ready)
	ready, ok := calls.of("Ready")
	if !ok {
		b.Fatalf("Ready was not called: %v", r.agones.Calls())
	}
	return max(0, ready.Sub(listening))
}

// listening is when the line came into the server's log.
func (r *rig) listening() time.Time {
	r.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		if raw, err := os.ReadFile(r.log()); err == nil && bytes.Contains(raw, []byte("Listening has been started.")) {
			return time.Now()
		}
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatal("the server does not listen")
		}
	}
}

// races is over how many of them the sidecar is watched; each takes about twenty seconds.
const races = 3

// BenchmarkFootprint is what the sidecar needs while eight bots race.
func BenchmarkFootprint(b *testing.B) {
	if !alone(b) {
		return
	}
	r := newRigWith(b, sidecartest.Options{})
	r.configure("server-max-players", "10")
	r.pod(false)
	r.untilState(sidecar.Ready)
	r.agones.Allocate(sidecartest.Allocation{})
	r.bots(8)
	r.untilPlayers(8)
	r.untilMatch("racing")
	before, begin := r.cpu(), time.Now()
	done := r.agones.GameServer().Counters["races"].Count
	r.within(4*time.Minute, "races", func() bool { return r.agones.GameServer().Counters["races"].Count >= done+races })
	used, took := r.cpu()-before, time.Since(begin)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.side.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	var peak float64
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(kb, &peak); err != nil {
				b.Fatal(err)
			}
		}
	}
	record(b, figure{"processor time of the sidecar while 8 bots race, of one core", 100 * used.Seconds() / took.Seconds(), "%", 1})
	record(b, figure{"peak of its resident memory", peak / 1024, "MiB", 20})
}

// cpu is what the sidecar has used, by the kernel's clock of a hundredth of a second.
func (r *rig) cpu() time.Duration {
	r.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.side.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, err := strconv.Atoi(f[11])
	if err != nil {
		r.t.Fatal(err)
	}
	system, err := strconv.Atoi(f[12])
	if err != nil {
		r.t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// BenchmarkBinary is the size of the program in its image.
func BenchmarkBinary(b *testing.B) {
	for _, arch := range []string{"amd64", "arm64"} {
		path := filepath.Join(b.TempDir(), arch)
		cmd := exec.CommandContext(b.Context(), "go", "build", "-tags", "grpcnotrace", "-trimpath", "-ldflags=-s -w", "-o", path, "../../../cmd/sidecar")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("go build: %v\n%s", err, out)
		}
		st, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		record(b, figure{"the static program, linux/" + arch, float64(st.Size()) / 1e6, "MB", 15})
	}
}
