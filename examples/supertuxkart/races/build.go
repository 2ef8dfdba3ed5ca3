package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
)

// image is an unpacked one.
type image struct {
	root   string
	config *v1.ConfigFile
	// pulled is what a node downloads for it, assets what of that are assets, in bytes.
	pulled, assets int64
}

// build makes one platform of a pipeline's image with bin/builder, out of the demo's cache, and unpacks it into dir.
func build(ctx context.Context, pipeline, profile, platform, dir string) (image, error) {
	path := filepath.Join(dir, "image.oci")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return image{}, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the servers run as another user
		return image{}, err
	}
	cmd := exec.CommandContext(ctx, "bin/builder", "build", "-f", pipeline, "--profile", profile, "--platform", platform,
		"--layout", path, "--cache-dir", ".cache/demo/builder", "--lock", filepath.Join(dir, "assets.lock"))
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return image{}, fmt.Errorf("builder build --profile %s: %w", profile, err)
	}
	img, err := onlyImage(path)
	if err != nil {
		return image{}, err
	}
	built := image{root: filepath.Join(dir, "rootfs")}
	if built.config, err = img.ConfigFile(); err != nil {
		return image{}, err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return image{}, err
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return image{}, err
	}
	for _, l := range m.Layers {
		built.pulled += l.Size
		if l.Annotations["dev.pitcrew.phase"] == "assets" {
			built.assets += l.Size
		}
	}
	return built, container.Unpack(ctx, img, built.root)
}

func onlyImage(path string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return nil, err
	}
	for {
		im, err := index.IndexManifest()
		if err != nil {
			return nil, err
		}
		if len(im.Manifests) == 0 {
			return nil, fmt.Errorf("%s holds no image", path)
		}
		first := im.Manifests[0]
		if first.MediaType.IsImage() {
			return index.Image(first.Digest)
		}
		if index, err = index.ImageIndex(first.Digest); err != nil {
			return nil, err
		}
	}
}
