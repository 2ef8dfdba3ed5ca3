package warm_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/pitcrew-dev/pitcrew/warmer/containerd/containerdtest"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// built is the part of builder's document that is used.
type built struct{ Ref, Digest string }

// pulled is the part of warmer's.
type pulled struct {
	PulledBytes, ReusedBytes int64
	Seconds                  float64
	AlreadyWarm              bool
}

func command(t *testing.T, v any, name string, args ...string) *os.ProcessState {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	if v != nil {
		if err := json.Unmarshal(stdout.Bytes(), v); err != nil {
			t.Fatalf("%s: %v in %s", name, err, &stdout)
		}
	}
	return cmd.ProcessState
}

// TestTheRealServerStartsFromAWarmImage builds the image with all assets, warms the assets before there is a server, then the
// server, starts it with runc, and goes on to a version with another configuration.
func TestTheRealServerStartsFromAWarmImage(t *testing.T) {
	node := containerdtest.Start(t)
	for _, tool := range []string{"apt-get", "runc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs " + tool)
		}
	}
	registry, dir := warmertest.NewRegistry(t), t.TempDir()
	builder, warmer := filepath.Join(dir, "builder"), filepath.Join(dir, "warmer")
	command(t, nil, "go", "build", "-o", builder, "../../../cmd/builder")
	command(t, nil, "go", "build", "-tags", "disable_grpc_modules,grpcnotrace", "-trimpath", "-ldflags=-s -w", "-o", warmer, "../../../cmd/warmer") // as make build does
	pipeline := filepath.Join(dir, "stk")
	command(t, nil, "cp", "-r", "..", pipeline)
	build := func() built {
		t.Helper()
		var out built
		command(t, &out, builder, "build", "-f", filepath.Join(pipeline, "pipeline.yaml"), "--profile", "full", "--platform", "linux/"+runtime.GOARCH,
			"--registry", registry.Host, "--plain-http", "--cache-dir", "../../../.cache/demo/builder", "--lock", filepath.Join(dir, "assets.lock"), "--output", "json")
		registry.Reset()
		return out
	}
	var memory int64
	pull := func(args ...string) pulled {
		t.Helper()
		var out pulled
		state := command(t, &out, warmer, append([]string{"pull", "--containerd", node.Socket, "--plain-http", "--disk-floor-percent", "1", "--output", "json"}, args...)...)
		if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
			memory = max(memory, usage.Maxrss<<10)
		}
		return out
	}

	one := build()
	assets := pull("--layers", "assets", one.Ref)
	all := pull(one.Ref)
	if all.ReusedBytes != assets.PulledBytes || assets.PulledBytes < 500e6 || all.PulledBytes > 100e6 {
		t.Errorf("assets: %+v, then all: %+v", assets, all)
	}
	registry.Reset()
	if out := node.Inside("run", "--rm", one.Ref, "race", "/usr/games/supertuxkart", "--version"); !strings.Contains(out, "SuperTuxKart") {
		t.Errorf("the server says %q", out)
	}
	if n := registry.Requests(""); n != 0 {
		t.Errorf("%d requests to start from a warm image", n)
	}
	if again := pull(one.Ref); !again.AlreadyWarm || again.Seconds > 0.1 {
		t.Errorf("again: %+v, want it warm within 100 ms", again)
	}

	config := filepath.Join(pipeline, "rootfs", "server_config.xml")
	raw, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append(raw, "<!-- the next version -->\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	next := pull(build().Ref)
	if next.PulledBytes == 0 || next.PulledBytes > 1e6 || next.ReusedBytes < 600e6 {
		t.Errorf("the next version: %+v", next)
	}
	const most = 64e6
	if memory > most {
		t.Errorf("warmer took %d bytes of memory, more than %d", memory, int64(most))
	}
	t.Logf("assets %.1f s for %d bytes, server %.1f s for %d, next version %.1f s for %d, %d bytes of memory",
		assets.Seconds, assets.PulledBytes, all.Seconds, all.PulledBytes, next.Seconds, next.PulledBytes, memory)
}
