package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/pitcrew-dev/pitcrew/warmer/containerd"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

func TestTheFloorKeepsAwayFromKubeletsThresholds(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("evictionHard: {imagefs.available: 20Gi, nodefs.available: 10%}\nimageGCHighThresholdPercent: 75\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := registry.New(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		args    []string
		bytes   int64
		percent int
	}{
		{"flags alone", []string{"--disk-floor", "2GiB", "--disk-floor-percent", "5"}, 2 << 30, 5},
		{"kubelet asks for more", []string{"--kubelet-config", config}, 21 << 30, 27},
		{"the flags ask for more", []string{"--kubelet-config", config, "--disk-floor", "30GiB", "--disk-floor-percent", "40"}, 30 << 30, 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, f := workOptions{}, pflag.NewFlagSet("", pflag.ContinueOnError)
			o.addTo(f)
			if err := f.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			got, err := o.options(t.Context(), new(containerd.Runtime), client)
			if err != nil || got.FloorBytes != test.bytes || got.FloorPercent != test.percent {
				t.Errorf("floor of %d bytes and %d percent, %v; want %d and %d", got.FloorBytes, got.FloorPercent, err, test.bytes, test.percent)
			}
		})
	}
	o := workOptions{kubelet: []string{config + ".none"}}
	if _, err := o.options(t.Context(), new(containerd.Runtime), client); err == nil || !strings.Contains(err.Error(), "--kubelet-config") || !strings.Contains(err.Error(), "config.yaml.none") {
		t.Errorf("a file that is not there: %v", err)
	}
}
