package archtest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImportsFollowTheArchitecture(t *testing.T) {
	g := load(t)
	for _, want := range []string{"builder", "builder/split", "cmd/builder", "internal/archtest"} {
		if _, ok := g[want]; !ok {
			t.Fatalf("go list knows no %s among %d packages", want, len(g))
		}
	}
	for _, v := range g.violations(rules) {
		t.Error(v)
	}
}

func TestAPlantedViolationIsFoundWithItsChain(t *testing.T) {
	for name, c := range map[string]struct {
		plant []pkg
		want  []string
	}{
		"one product imports another": {
			[]pkg{{ImportPath: "./sidecar/stk", Imports: []string{"fmt", "./warmer"}}},
			[]string{"sidecar knows no other product: sidecar/stk -> warmer"},
		},
		"one product imports another by way of internal": {
			[]pkg{
				{ImportPath: "./warmer", Imports: []string{"./internal/bridge"}},
				{ImportPath: "./internal/bridge", Imports: []string{"./builder/lock"}},
			},
			[]string{
				"internal knows no product: internal/bridge -> builder/lock",
				"warmer knows no other product: warmer -> internal/bridge -> builder/lock",
			},
		},
		"only a test imports another product": {
			[]pkg{{ImportPath: "./builder/build", XTestImports: []string{"./warmer/registry"}}},
			[]string{"builder knows no other product: builder/build (test) -> warmer/registry"},
		},
		"a root imports its adapter": {
			[]pkg{{ImportPath: "./builder", Imports: []string{"./builder/layer"}}, {ImportPath: "./builder/layer"}},
			[]string{"builder's root holds nouns: builder -> builder/layer"},
		},
		"a root looks at the clock and the disk": {
			[]pkg{{ImportPath: "./builder", Imports: []string{"time", "os"}}},
			[]string{"builder's root holds nouns: builder -> os", "builder's root holds nouns: builder -> time"},
		},
		"a pure package gets at the network through another": {
			[]pkg{
				{ImportPath: "./builder/split", Imports: []string{"./builder/memo"}},
				{ImportPath: "./builder/memo", Imports: []string{"net/http"}},
			},
			[]string{"decisions are pure functions of their input: builder/split -> builder/memo -> net/http"},
		},
		"a library imports a command": {
			[]pkg{{ImportPath: "./internal/cli", Imports: []string{"./cmd/builder"}}},
			[]string{"only cmd wires: nothing imports what is above it: internal/cli -> cmd/builder"},
		},
		"technologies outside of their adapter": {
			[]pkg{
				{ImportPath: "./warmer/plan", Imports: []string{"k8s.io/client-go/rest", "github.com/containerd/containerd/v2/client"}},
				{ImportPath: "./cmd/sidecar", Imports: []string{"google.golang.org/grpc"}},
				{ImportPath: "./builder/source/compile", Imports: []string{"github.com/moby/buildkit/client"}},
			},
			[]string{
				"BuildKit's client only where commands run in it: builder/source/compile -> github.com/moby/buildkit/client",
				"client-go only in warmer/kube: warmer/plan -> k8s.io/client-go/rest",
				"containerd only in warmer/containerd: warmer/plan -> github.com/containerd/containerd/v2/client",
				"gRPC only in sidecar/agones and warmer/cri: cmd/sidecar -> google.golang.org/grpc",
			},
		},
		"packages in a circle": { // which tests can be part of
			[]pkg{{ImportPath: "./internal/a", Imports: []string{"./internal/b"}}, {ImportPath: "./internal/b", Imports: []string{"./internal/a"}}},
			nil,
		},
		"what is allowed": {
			[]pkg{
				{ImportPath: "./cmd/builder", Imports: []string{"os", "./builder/publish/registry", "./internal/cli"}},
				{ImportPath: "./builder/publish/registry", Imports: []string{"net/http", "os", "time", "./builder"}},
				{ImportPath: "./builder", Imports: []string{"io", "errors"}},
				{ImportPath: "./builder/pipeline", Imports: []string{"io/fs", "./builder"}, XTestImports: []string{"os"}},
				{ImportPath: "./warmer", Imports: []string{"time", "./warmer/api/v1alpha1"}},
				{ImportPath: "./warmer/kube", Imports: []string{"k8s.io/client-go/rest"}},
				{ImportPath: "./warmer/containerd", Imports: []string{"github.com/containerd/containerd/v2/client"}},
				{ImportPath: "./sidecar/agones", Imports: []string{"google.golang.org/grpc"}},
			},
			nil,
		},
	} {
		g := graph{}
		for _, p := range c.plant {
			g.add(p)
		}
		if diff := cmp.Diff(c.want, g.violations(rules)); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", name, diff)
		}
	}
}
