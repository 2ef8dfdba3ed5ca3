package provenance_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
)

func hash(n int) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", n)} }

func build() provenance.Build {
	return provenance.Build{
		Pipeline: "kart", PipelineDigest: hash(1), Version: "1.2.3", Platforms: []string{"linux/amd64", "linux/arm64"},
		Inputs: map[builder.Phase]v1.Hash{builder.Server: hash(5), builder.Assets: hash(4)},
		Materials: []builder.Material{
			{Name: "phases.code", URI: "git+https://example.com/kart", Digest: v1.Hash{Algorithm: "gitCommit", Hex: "abc"}},
			{URI: "pkg:deb/debian/b@1?arch=all", Digest: hash(8)},
			{URI: "pkg:deb/debian/a@1?arch=all", Digest: hash(9)},
			{URI: "pkg:deb/debian/b@1?arch=all", Digest: hash(8)},
		},
	}
}

func TestAPredicateIsWhatSLSAAsksFor(t *testing.T) {
	raw, err := build().Predicate()
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{
		"buildDefinition": {
			"buildType": "https://pitcrew.dev/build/v1",
			"externalParameters": {"pipeline": {"name": "kart", "digest": {"sha256": %q}}, "platforms": ["linux/amd64", "linux/arm64"]},
			"resolvedDependencies": [
				{"name": "phase/assets", "digest": {"sha256": %q}},
				{"name": "phase/server", "digest": {"sha256": %q}},
				{"name": "phases.code", "uri": "git+https://example.com/kart", "digest": {"gitCommit": "abc"}},
				{"uri": "pkg:deb/debian/a@1?arch=all", "digest": {"sha256": %q}},
				{"uri": "pkg:deb/debian/b@1?arch=all", "digest": {"sha256": %q}}
			]
		},
		"runDetails": {"builder": {"id": "https://pitcrew.dev/builder", "version": {"pitcrew": "1.2.3"}}}
	}`, hash(1).Hex, hash(4).Hex, hash(5).Hex, hash(9).Hex, hash(8).Hex)
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("predicate (-want +got):\n%s", diff)
	}
}

func TestThePredicateDoesNotDependOnTheOrderOfMaterials(t *testing.T) {
	a, b := build(), build()
	slices.Reverse(b.Materials)
	one, err := a.Predicate()
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Predicate()
	if err != nil {
		t.Fatal(err)
	}
	if string(one) != string(two) {
		t.Errorf("two predicates of one build:\n%s\n%s", one, two)
	}
	inputs, err := provenance.ParseInputs(one)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a.Inputs, inputs); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
}

func TestAStatementIsAboutItsSubjects(t *testing.T) {
	raw, err := provenance.NewStatement([]provenance.Subject{provenance.NewSubject("kart", hash(1)), provenance.NewSubject("linux/arm64", hash(2))},
		provenance.PredicateType, json.RawMessage(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := provenance.ParseStatement(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !s.About(hash(1)) || !s.About(hash(2)) || s.About(hash(3)) || s.About(v1.Hash{}) {
		t.Errorf("About is wrong of %s", raw)
	}
	if s.PredicateType != provenance.PredicateType || string(s.Predicate) != `{"a":1}` {
		t.Errorf("read again: %+v", s)
	}
}

func TestOtherDocumentsAreInputErrors(t *testing.T) {
	for _, raw := range []string{"", "{}", "[]", `{"_type":"https://in-toto.io/Statement/v0.1"}`} {
		if _, err := provenance.ParseStatement([]byte(raw)); builder.KindOf(err) != builder.Input {
			t.Errorf("ParseStatement(%q) = %v, want an Input error", raw, err)
		}
	}
	for _, raw := range []string{"[]", "{}", `{"buildDefinition":{"buildType":"https://other"}}`} {
		_, err := provenance.ParseInputs(json.RawMessage(raw))
		if builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "provenance") {
			t.Errorf("ParseInputs(%q) = %v, want an Input error", raw, err)
		}
	}
}
