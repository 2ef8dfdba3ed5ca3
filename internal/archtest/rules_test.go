package archtest_test

// rule forbids imports. A path is below the module or, in never, of another module or the standard library; it stands
// for itself and what lies below it, "path/..." for what lies below it only.
type rule struct {
	name string
	// from are the packages that the rule is about; exact leaves out what lies below them.
	from  []string
	exact bool
	never []string
	// except are packages in never that from may import, or packages in from that may import what is in never.
	except []string
	// direct looks at a package's own imports only. Otherwise what it imports through other packages of the module
	// counts too.
	direct bool
	// tests says that the rule holds for tests as well.
	tests bool
}

// system is what touches disk, network, or other processes.
var system = []string{"os", "net", "syscall", "golang.org/x/sys"}

var (
	products = []string{"builder", "warmer", "sidecar"}
	outer    = []string{"cmd", "docs", "examples", "images", "scripts", "test"}
)

var rules = []rule{
	{name: "internal knows no product", from: []string{"internal"}, never: products, tests: true},
	{name: "builder knows no other product", from: []string{"builder"}, never: []string{"warmer", "sidecar"}, tests: true},
	{name: "warmer knows no other product", from: []string{"warmer"}, never: []string{"builder", "sidecar"}, tests: true},
	{name: "sidecar knows no other product", from: []string{"sidecar"}, never: []string{"builder", "warmer"}, tests: true},
	{name: "only cmd wires: nothing imports what is above it", from: append([]string{"internal"}, products...), never: outer, tests: true},
	{name: "commands do not import each other", from: []string{"cmd"}, never: []string{"cmd"}, direct: true},

	{name: "builder's root holds nouns", from: []string{"builder"}, exact: true, never: append([]string{"builder/...", "time"}, system...)},
	{name: "warmer's root imports no adapter", from: []string{"warmer"}, exact: true, never: append([]string{"warmer/..."}, system...), except: []string{"warmer/api"}},
	{name: "sidecar's root imports no adapter", from: []string{"sidecar"}, exact: true, never: append([]string{"sidecar/..."}, system...)},

	{
		name:  "decisions are pure functions of their input",
		from:  []string{"builder/split", "builder/lock", "builder/merge", "builder/pipeline"},
		never: append([]string{"time"}, system...),
	},
	{name: "composing moves no bytes", from: []string{"builder/compose", "builder/inspect"}, never: system},
	{name: "a source knows nothing of layers and publication", from: []string{"builder/source"}, never: []string{"builder/layer", "builder/publish", "builder/build", "builder/compose"}},
	{name: "publication knows nothing of sources", from: []string{"builder/publish"}, never: []string{"builder/source", "builder/build", "builder/layer"}},
	{name: "the build knows no adapter", from: []string{"builder/build"}, never: []string{"builder/source", "builder/publish"}},

	{name: "the warmer's agent knows no adapter", from: []string{"warmer/agent", "warmer/manifest"}, never: []string{"warmer/containerd", "warmer/registry", "warmer/cri", "warmer/kube", "warmer/ops"}},
	{name: "the warmer's registry client knows no container runtime", from: []string{"warmer/registry"}, never: []string{"warmer/containerd", "warmer/cri", "warmer/agent", "warmer/kube", "warmer/ops"}},

	{name: "client-go only in warmer/kube", from: []string{"."}, never: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}, except: []string{"warmer/kube"}, direct: true},
	{name: "containerd only in warmer/containerd", from: []string{"."}, never: []string{"github.com/containerd/containerd"}, except: []string{"warmer/containerd"}, direct: true},
	{name: "BuildKit's client only where commands run in it", from: []string{"."}, never: []string{"github.com/moby/buildkit"}, except: []string{"builder/source/compile/buildkit"}, direct: true},
	{name: "gRPC only in sidecar/agones and warmer/cri", from: []string{"."}, never: []string{"google.golang.org/grpc", "google.golang.org/protobuf"}, except: []string{"sidecar/agones", "sidecar/sidecartest", "internal/agonespb", "warmer/cri"}, direct: true},
}
