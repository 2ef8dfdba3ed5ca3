package ctrd_test

import (
	"os"
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/internal/ctrd"
)

func TestADaemonEndsWithoutTrace(t *testing.T) {
	binary := os.Getenv("CONTAINERD")
	if binary == "" {
		t.Skip("needs a containerd in CONTAINERD: scripts/containerd.sh builds one")
	}
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	d, err := ctrd.Start(t.Context(), binary, t.TempDir()) // which cannot be removed if something stays mounted
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	for _, run := range []string{"outside", "inside"} {
		c := d.Ctr(t.Context(), "images", "ls", "-q")
		if run == "inside" {
			c = d.Inside(t.Context(), "images", "ls", "-q")
		}
		if out, err := ctrd.Output(c); err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("images of a new daemon, asked from %s: %q, %v", run, out, err)
		}
	}
	d.Stop()
	if _, err := ctrd.Output(d.Ctr(t.Context(), "version")); err == nil {
		t.Error("the daemon answers after Stop")
	}
}

func TestADaemonThatCannotStartSaysWhy(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	if _, err := ctrd.Start(t.Context(), "/no/such/containerd", t.TempDir()); err == nil || !strings.Contains(err.Error(), "/no/such/containerd") {
		t.Errorf("Start without a containerd: %v", err)
	}
}
