package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/warmer/containerd/containerdtest"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func none(string) string { return "" }

// pull runs warmer pull and returns its document.
func pull(t *testing.T, d *containerdtest.Daemon, args ...string) pulled {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"pull", "--containerd", d.Socket, "--plain-http", "--output", "json", "--disk-floor-percent", "1"}, args...)
	if code := run(t.Context(), args, none, &stdout, &stderr); code != 0 {
		t.Fatalf("warmer %q: exit code %d\n%s", args, code, &stderr)
	}
	var out pulled
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatalf("%v in %s", err, &stdout)
	}
	return out
}

func TestPullMakesAnImageWarm(t *testing.T) {
	d, r := containerdtest.Start(t), warmertest.NewRegistry(t)
	digest := r.Push("game:1",
		warmertest.Layer{Phase: "assets", Files: map[string]string{"data/a": warmertest.Bytes(1, 5<<20)}},
		warmertest.Layer{Phase: "assets", Files: map[string]string{"data/b": warmertest.Bytes(2, 3<<20)}, Zstd: true},
		warmertest.Layer{Phase: "base", Files: map[string]string{"etc/x": "x"}, Zstd: true},
	)
	r.Reset()
	got := pull(t, d, r.Reference("game:1"))
	if string(got.Digest) != digest || got.AlreadyWarm || got.PulledBytes < 8<<20 || got.ReusedBytes != 0 {
		t.Errorf("first pull: %+v", got)
	}
	again := pull(t, d, r.Reference("game:1"))
	if !again.AlreadyWarm || again.PulledBytes != 0 {
		t.Errorf("second pull: %+v", again)
	}
	t.Logf("%+v", d.Left())
	t.Logf("%+v %s", again, d.Ctr("images", "ls"))
}
