package compile_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder/source/compile"
	"github.com/pitcrew-dev/pitcrew/builder/source/files"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// hang is a builder whose command never ends: see TestMain.
func hang(cache string) {
	store, err := pack.Open(filepath.Join(cache, "packs"))
	if err != nil {
		panic(err)
	}
	source := files.New(cache, files.Options{Files: []files.File{{Path: "/input", Content: []byte("x")}}})
	r, err := compile.New(compile.Options{
		Sources: []compile.Input{{Source: source}}, Command: []string{"sh", "-c", os.Getenv("COMPILE_COMMAND")}, Host: host, Store: store, CacheDir: cache,
		Outputs: []compile.Output{{Path: "out"}},
	}).Resolve(context.Background(), host)
	if err == nil {
		_, err = r.Tree(context.Background())
	}
	fmt.Println("the command ended:", err)
}

func TestABuilderThatIsKilledTakesItsCommandWithItAndTheNextOneCleansUp(t *testing.T) {
	cache := t.TempDir()
	grouped, _, groupGone := fifo(t)
	escaped, escapedStarted, escapedGone := fifo(t)
	started := filepath.Join(t.TempDir(), "started")
	mkfifo(t, started)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "COMPILE_IN="+cache, "COMPILE_COMMAND="+fmt.Sprintf(
		`setsid sh -c 'exec 3>%s; echo . >&3; sleep 1000; sleep 1000' & exec 4>%s; echo . >&4; (sleep 1000; sleep 1000) & echo . >%s; sleep 1000; sleep 1000`,
		escaped, grouped, started))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(started); err != nil { // waits for the command
		t.Fatal(err)
	}
	<-escapedStarted
	scratch, _ := filepath.Glob(filepath.Join(cache, "compile", "linux-*[^k]"))
	if len(scratch) != 1 {
		t.Fatalf("scratch folders = %v, want one while the command runs", scratch)
	}
	if err := compile.Sweep(cache); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(scratch[0]); err != nil {
		t.Fatalf("Sweep took the folder of a command that runs: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	groupGone() // by itself
	if err := compile.Sweep(cache); err != nil {
		t.Fatal(err)
	}
	escapedGone()
	if _, err := os.Stat(scratch[0]); err == nil {
		t.Error("the scratch folder of the killed builder is still there")
	}
}
