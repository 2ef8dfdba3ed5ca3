package pipeline_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
)

func TestForExpandsVariablesAndLeavesTheSourceAlone(t *testing.T) {
	arm := v1.Platform{OS: "linux", Architecture: "arm64"}
	source := func(arch, platform string) *pipeline.Source {
		return &pipeline.Source{
			Dir:     &pipeline.Dir{Path: "out/" + arch, AbsoluteLinks: true},
			Archive: &pipeline.Archive{Path: platform + ".tar", Parts: []string{arch + "-*", "$HOME"}, SHA256: "${TARGETARCH}"},
			Image:   &pipeline.Image{Ref: "ghcr.io/x/" + arch + ":1"},
			Files:   []pipeline.File{{Path: "/${TARGETARCH}", From: platform}, {Path: "/b", Link: "${TARGETARCH}"}},
		}
	}
	s := source("${TARGETARCH}", "${TARGETPLATFORM}")
	if diff := cmp.Diff(source("arm64", "linux/arm64"), s.For(arm)); diff != "" {
		t.Errorf("For(%v) (-want +got):\n%s", arm, diff)
	}
	if diff := cmp.Diff(source("${TARGETARCH}", "${TARGETPLATFORM}"), s); diff != "" {
		t.Errorf("For changed its source (-want +got):\n%s", diff)
	}
}

// A dir for which only one platform's folder is there: the message names the other.
func TestLocalSourcesAreLookedForOnEachOfTheirPlatforms(t *testing.T) {
	text := `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: x}
platforms: [linux/amd64, linux/arm64]
repository: x
phases:
  code:
    sources:
      - dir: {path: "out/${TARGETARCH}"}
`
	folders := beside()
	folders["out/amd64/x"] = folders["assets/a.png"]
	_, err := parse(t, text, folders)
	if err == nil || !strings.Contains(err.Error(), `no such folder "out/arm64"`) || strings.Contains(err.Error(), "amd64") {
		t.Errorf("Parse: %v, want a fault about out/arm64 only", err)
	}
	if _, err := parse(t, text+"        platforms: [linux/amd64]\n", folders); err != nil {
		t.Errorf("Parse of a source for amd64 only: %v", err)
	}
}
