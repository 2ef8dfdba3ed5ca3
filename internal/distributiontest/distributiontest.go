// Package distributiontest runs Debian's docker-registry, which is CNCF's distribution: the registry that most others are held
// against.
package distributiontest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The kernel chooses the port, which the log tells.
const config = `version: 0.1
log: {level: info, formatter: text, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %ROOT%}}
http: {addr: "127.0.0.1:0"}
`

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// patience is how long it may take to listen.
const patience = 30 * time.Second

// Start runs one on loopback, with an empty store, until the test ends, and returns its HOST:PORT. Where it is not installed the
// test is skipped.
func Start(t testing.TB) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("needs docker-registry (apt-get install docker-registry)")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(config, "%ROOT%", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	log, said := io.Pipe()
	cmd := exec.CommandContext(t.Context(), program, "serve", path)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // joined by way of the log, which ends with it
		_ = cmd.Wait()   // it was interrupted, or the log says why it ended
		_ = said.Close() // a pipe in memory has no error to tell
	}()
	addr, read := make(chan string, 1), make(chan struct{})
	var last atomic.Value
	last.Store("")
	go func() { // joined below
		defer close(read)
		follow(log, addr, &last)
	}()
	t.Cleanup(func() { <-read }) // t.Context has ended by then
	select {
	case a, ok := <-addr:
		if !ok {
			t.Fatalf("docker-registry ended before it listened; it last said: %s", last.Load())
		}
		return a
	case <-time.After(patience):
		t.Fatalf("docker-registry does not listen within %s; it last said: %s", patience, last.Load())
	}
	return ""
}

// follow reads a log to its end and tells the first address in it.
func follow(log io.Reader, addr chan<- string, last *atomic.Value) {
	defer close(addr)
	told := false
	for lines := bufio.NewScanner(log); lines.Scan(); {
		last.Store(lines.Text())
		if m := listening.FindStringSubmatch(lines.Text()); m != nil && !told {
			told = true
			addr <- m[1]
		}
	}
	_, _ = io.Copy(io.Discard, log) // a line that was too long ends the scanner, and must not stop the registry
}
