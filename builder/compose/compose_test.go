package compose_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
)

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64"}
)

func hash(s string) v1.Hash {
	h, _, err := v1.SHA256(strings.NewReader(s))
	if err != nil {
		panic(err)
	}
	return h
}

func part(phase builder.Phase, names ...string) compose.Part {
	p := compose.Part{Phase: phase, InputDigest: hash(fmt.Sprint(phase, names))}
	for _, n := range names {
		p.Layers = append(p.Layers, compose.Layer{
			Descriptor: v1.Descriptor{MediaType: types.OCILayerZStd, Digest: hash(n), Size: int64(len(n))},
			DiffID:     hash("diff " + n),
		})
	}
	return p
}

func TestBuildPutsPhasesInContractOrder(t *testing.T) {
	idx, err := compose.Build([]compose.Platform{{
		Platform: amd64,
		Parts:    []compose.Part{part("server", "s"), part("base", "b"), part("assets", "a1", "a2"), part("code", "c")},
	}}, compose.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []v1.Hash
	for _, l := range idx.Images[0].Layers {
		got = append(got, l.Descriptor.Digest)
	}
	want := []v1.Hash{hash("a1"), hash("a2"), hash("b"), hash("c"), hash("s")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layer order (-want +got):\n%s", diff)
	}
	var cf v1.ConfigFile
	if err := json.Unmarshal(idx.Images[0].Config, &cf); err != nil {
		t.Fatal(err)
	}
	if got, want := cf.RootFS.DiffIDs[0], hash("diff a1"); got != want {
		t.Errorf("first diff ID = %v, want %v", got, want)
	}
	if got, want := cf.History[1].CreatedBy, "pitcrew assets 2/2"; got != want {
		t.Errorf("history[1] = %q, want %q", got, want)
	}
}

func TestBuildIsAPureFunction(t *testing.T) {
	build := func() compose.Index {
		t.Helper()
		idx, err := compose.Build([]compose.Platform{
			{Platform: amd64, Parts: []compose.Part{part("assets", "a"), part("code", "c-amd64")}},
			{Platform: arm64, Parts: []compose.Part{part("assets", "a"), part("code", "c-arm64")}},
		}, compose.Options{Created: time.Unix(42, 0), Annotations: map[string]string{"org.opencontainers.image.title": "x", "z": "1"}})
		if err != nil {
			t.Fatal(err)
		}
		return idx
	}
	first := build()
	for range 20 {
		if again := build(); again.Descriptor.Digest != first.Descriptor.Digest {
			t.Fatalf("Build twice = %v then %v", first.Descriptor.Digest, again.Descriptor.Digest)
		}
	}
	var im v1.IndexManifest
	if err := json.Unmarshal(first.Raw, &im); err != nil {
		t.Fatal(err)
	}
	if got, want := im.Annotations["org.opencontainers.image.created"], "1970-01-01T00:00:42Z"; got != want {
		t.Errorf("created = %q, want %q", got, want)
	}
	if got := im.Annotations[builder.AnnotationInputPrefix+"assets"]; got == "" {
		t.Error("the index carries no input digest of the assets phase")
	}
	if im.Manifests[1].Platform == nil || !im.Manifests[1].Platform.Equals(arm64) {
		t.Errorf("second platform = %v, want %v", im.Manifests[1].Platform, arm64)
	}
}

func TestBuildRefusesPlatformsThatDoNotShareAssets(t *testing.T) {
	_, err := compose.Build([]compose.Platform{
		{Platform: amd64, Parts: []compose.Part{part("assets", "a")}},
		{Platform: arm64, Parts: []compose.Part{part("assets", "other")}},
	}, compose.Options{})
	if got, want := builder.KindOf(err), builder.Input; got != want {
		t.Errorf("Build with different asset layers: %v (kind %v), want kind %v", err, got, want)
	}
}

func TestBuildRefusesTooManyLayers(t *testing.T) {
	names := make([]string, compose.MaxLayers+1)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	_, err := compose.Build([]compose.Platform{{Platform: amd64, Parts: []compose.Part{part("assets", names...)}}}, compose.Options{})
	if got, want := builder.KindOf(err), builder.Policy; got != want {
		t.Errorf("Build with %d layers: %v (kind %v), want kind %v", len(names), err, got, want)
	}
	if _, err := compose.Build([]compose.Platform{{Platform: amd64, Parts: []compose.Part{part("assets", names[1:]...)}}}, compose.Options{}); err != nil {
		t.Errorf("Build with %d layers: %v, want none", compose.MaxLayers, err)
	}
}

func TestMerge(t *testing.T) {
	lower := v1.Config{
		Env: []string{"PATH=/bin", "LANG=C"}, Entrypoint: []string{"/lower"}, Cmd: []string{"lower"},
		User: "1", StopSignal: "SIGINT", Labels: map[string]string{"a": "1", "b": "1"},
	}
	upper := v1.Config{
		Env: []string{"LANG=C.UTF-8", "HOME=/h"}, Entrypoint: []string{"/upper"}, StopSignal: "SIGTERM",
		Labels: map[string]string{"b": "2"}, ExposedPorts: map[string]struct{}{"2759/udp": {}},
	}
	want := v1.Config{
		Env: []string{"PATH=/bin", "LANG=C.UTF-8", "HOME=/h"}, Entrypoint: []string{"/upper"},
		User: "1", StopSignal: "SIGTERM", Labels: map[string]string{"a": "1", "b": "2"},
		ExposedPorts: map[string]struct{}{"2759/udp": {}},
	}
	if diff := cmp.Diff(want, compose.Merge(lower, upper)); diff != "" {
		t.Errorf("Merge (-want +got):\n%s", diff)
	}
	if got := compose.Merge(lower, v1.Config{Cmd: []string{"only"}}); got.Entrypoint[0] != "/lower" || got.Cmd[0] != "only" {
		t.Errorf("Merge with an upper cmd = %v %v, want the lower entrypoint with the upper cmd", got.Entrypoint, got.Cmd)
	}
}

func TestPhaseDigestDependsOnEveryPlatform(t *testing.T) {
	a := compose.PhaseDigest(map[string]v1.Hash{"linux/amd64": hash("1"), "linux/arm64": hash("2")})
	b := compose.PhaseDigest(map[string]v1.Hash{"linux/amd64": hash("2"), "linux/arm64": hash("1")})
	if a == b {
		t.Errorf("PhaseDigest ignores which platform an input belongs to: %v", a)
	}
	if got, want := compose.PhaseTag(builder.Code, a), "code-"+a.Hex[:32]; got != want {
		t.Errorf("PhaseTag = %q, want %q", got, want)
	}
}

// The chain IDs of the OCI image spec's own definition, worked out by hand with sha256sum.
func TestChainIDs(t *testing.T) {
	ids := compose.ChainIDs([]v1.Hash{hash("x"), hash("y")})
	if ids[0] != hash("x") {
		t.Errorf("chain ID 0 = %v, want the diff ID", ids[0])
	}
	if want := hash(hash("x").String() + " " + hash("y").String()); ids[1] != want {
		t.Errorf("chain ID 1 = %v, want %v", ids[1], want)
	}
}
