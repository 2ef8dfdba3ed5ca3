package kubelet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubelet"
)

const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"

func TestThresholds(t *testing.T) {
	for _, test := range []struct {
		name, config string
		want         kubelet.Threshold
	}{
		{"kubelet's defaults", head, kubelet.Threshold{Percent: 15}},
		{"an empty file", "", kubelet.Threshold{Percent: 15}},
		{"images are collected earlier", head + "imageGCHighThresholdPercent: 70\n", kubelet.Threshold{Percent: 30}},
		{"pods are evicted earlier", head + "evictionHard: {imagefs.available: 20%}\n", kubelet.Threshold{Percent: 20}},
		{"the node's disk counts too", head + "evictionHard: {nodefs.available: 25%}\n", kubelet.Threshold{Percent: 25}},
		{"a part of a percent", head + "evictionHard: {imagefs.available: '17.5%'}\n", kubelet.Threshold{Percent: 18}},
		{"bytes", head + "evictionHard: {imagefs.available: 10Gi}\n", kubelet.Threshold{Bytes: 10 << 30, Percent: 15}},
		{"one that is set replaces the defaults", head + "evictionHard: {memory.available: 100Mi}\nimageGCHighThresholdPercent: 99\n", kubelet.Threshold{Percent: 1}},
		{
			"unless they are merged", head + "mergeDefaultEvictionSettings: true\nevictionHard: {nodefs.available: 1%}\nimageGCHighThresholdPercent: 99\n",
			kubelet.Threshold{Percent: 15},
		},
		{"soft thresholds", head + "evictionSoft: {imagefs.available: 30%}\n", kubelet.Threshold{Percent: 30}},
		{"JSON, as EKS has it", `{"kind":"KubeletConfiguration","evictionHard":{"nodefs.available":"10%","nodefs.inodesFree":"5%"}}`, kubelet.Threshold{Percent: 15}},
		{"no collection", head + "imageGCHighThresholdPercent: 100\nevictionHard: {imagefs.available: 0%}\n", kubelet.Threshold{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := kubelet.Read(write(t, t.TempDir(), "config", test.config))
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLaterFilesReplace(t *testing.T) {
	dir := t.TempDir()
	first := write(t, dir, "config.yaml", head+"evictionHard: {imagefs.available: 20%, nodefs.available: 40%}\nimageGCHighThresholdPercent: 90\n")
	parts := filepath.Join(dir, "config.d")
	write(t, parts, "20-b.conf", head+"evictionHard: {nodefs.available: 22%}\n")
	write(t, parts, "10-a.conf", head+"evictionHard: {nodefs.available: 60%}\n")
	write(t, parts, "30-c.yaml", "not read by kubelet either")
	got, err := kubelet.Read(first, parts)
	if want := (kubelet.Threshold{Percent: 22}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestBadConfigurations(t *testing.T) {
	for _, test := range []struct{ name, config, says string }{
		{"not YAML", "a: [", "config"},
		{"something else", "kind: Pod\n", "is a Pod, not a KubeletConfiguration"},
		{"no quantity", "evictionHard: {imagefs.available: much}\n", `imagefs.available: "much" is neither bytes nor a percentage`},
		{"no percentage", "evictionHard: {imagefs.available: 'NaN%'}\n", `imagefs.available: "NaN%" is no percentage`},
		{"negative", "evictionSoft: {nodefs.available: -1Gi}\n", `nodefs.available: "-1Gi" is neither`},
		{"more than all", "imageGCHighThresholdPercent: 101\n", "imageGCHighThresholdPercent: 101 is no percentage"},
		{"endless", "#" + strings.Repeat(" ", 1<<20), "more than 1048576"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := kubelet.Read(write(t, t.TempDir(), "config", test.config))
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "kubelet's configuration") {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
	if _, err := kubelet.Read(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
