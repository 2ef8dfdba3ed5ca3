package apt_test

import (
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/apt"
)

func TestARealPackageForBothArchitectures(t *testing.T) {
	if testing.Short() {
		t.Skip("fetches from the machine's mirrors: run without -short")
	}
	needApt(t)
	o := options(t, nil, "hostname")
	o.Dependencies, o.UsrMerge = apt.None, true
	machines := map[string]string{"amd64": "\x3e\x00", "arm64": "\xb7\x00"} // e_machine of ELF
	for _, p := range platforms {
		r, err := apt.New(o).Resolve(t.Context(), p)
		if builder.KindOf(err) == builder.Transient || err != nil && strings.Contains(err.Error(), "update from mirror") {
			t.Skipf("needs apt sources with hostname for %s that can be reached: %v", p, err)
		}
		if err != nil {
			t.Fatal(err)
		}
		tree := treeOf(t, r)
		program := read(t, tree, "usr/bin/hostname")
		if !strings.HasPrefix(program, "\x7fELF") || program[18:20] != machines[p.Architecture] {
			t.Errorf("hostname for %s begins with %q", p, program[:20])
		}
	}
}
