package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/diskregistry"
)

// The cluster's registry is a folder that is kept, so that a second run builds nothing that did not change.
const (
	root        = "../.."
	cache       = root + "/.cache/e2e"
	registryDir = cache + "/registry"
)

// image is one that bin/builder makes of a program of this module and of assets that do not compress.
type image struct {
	name    string
	program string // of this module
	assets  int64
}

// images are those of the tests. Each has the same program, that of this machine, for both architectures: a node that calls
// itself arm64 runs what it pulls. What is pulled is told by a file that differs.
var images = []image{
	{"pause", "pause", 0},
	{"arena-warm", "arena", 200 << 20},
	{"arena-cold", "arena", 200 << 20},
	{"arena-arch", "arena", 16 << 20},
	{"arena-once", "arena", 96 << 20},
	{"arena-late", "arena", 64 << 20},
	{"arena-kept", "arena", 96 << 20},
	{"arena-gone", "arena", 96 << 20},
	{"arena-much", "arena", 96 << 20},
}

// buildImages fills the registry's folder. It needs the network, where Debian's packages are.
func buildImages(ctx context.Context) (err error) {
	handler, err := diskregistry.New(registryDir)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // ends with Close, and says just that
	}()
	defer func() {
		_ = server.Close() // all that it could say is that it is closed
		<-ended
	}()
	host := l.Addr().String()
	for i, im := range images {
		if err := im.build(ctx, host, uint64(i)); err != nil {
			return fmt.Errorf("image %s: %w", im.name, err)
		}
	}
	for _, name := range []string{"warmer", "sidecar"} {
		if err := buildOwn(ctx, host, name); err != nil {
			return fmt.Errorf("image %s: %w", name, err)
		}
	}
	stk := []string{"-f", root + "/examples/supertuxkart/pipeline.yaml", "--cache-dir", root + "/.cache/demo/builder"}
	if err := builder(ctx, host, append(stk, "--lock", cache+"/stk.lock")...); err != nil {
		return fmt.Errorf("image of the game: %w", err)
	}
	// Players have all the assets.
	if err := builder(ctx, host, append(stk, "--profile", "full", "--platform", "linux/amd64", "--tag", "1.4-full", "--lock", cache+"/full.lock")...); err != nil {
		return fmt.Errorf("image of the players: %w", err)
	}
	return nil
}

func builder(ctx context.Context, host string, args ...string) error {
	args = append([]string{"build", "--registry", host, "--plain-http", "--log-level", "warn"}, args...)
	if out, err := exec.CommandContext(ctx, root+"/bin/builder", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("builder: %w: %s", err, out)
	}
	return nil
}

const pipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: %[1]s}
platforms: [linux/amd64, linux/arm64]
repository: %[1]s
tags: [e2e]
phases:
  assets:
    sources:
      - dir: {path: assets}
        destination: /assets
    split: {layers: 4}
  server:
    sources:
      - files:
          - {path: /%[2]s, from: %[2]s}
          - {path: /platform, from: "platform-${TARGETARCH}"}
    config: {entrypoint: [/%[2]s], user: "65532:65532"}
`

func (im image) build(ctx context.Context, host string, seed uint64) error {
	dir, err := filepath.Abs(filepath.Join(cache, im.name))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "assets"), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir, "./programs/"+im.program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	var key [32]byte
	key[0] = byte(seed) + 1
	random := rand.NewChaCha8(key)
	const files = 8
	for i := range files {
		if err := fill(filepath.Join(dir, "assets", fmt.Sprint(i)), random, im.assets/files); err != nil {
			return err
		}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if err := os.WriteFile(filepath.Join(dir, "platform-"+arch), []byte("linux/"+arch+" "+im.name), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), fmt.Appendf(nil, pipeline, im.name, im.program), 0o644); err != nil {
		return err
	}
	return builder(ctx, host, "-f", filepath.Join(dir, "pipeline.yaml"))
}

// buildOwn makes an image of one of our own programs, from bin, by the pipeline that releases are made by. The pipeline finds
// the same program for both architectures, for the same reason.
func buildOwn(ctx context.Context, host, name string) error {
	for _, arch := range []string{"amd64", "arm64"} {
		if err := copyFile(root+"/bin/"+name, filepath.Join(cache, "dist", "linux-"+arch, name)); err != nil {
			return err
		}
	}
	path := filepath.Join(cache, "images", name, "pipeline.yaml")
	if err := copyFile(root+"/images/"+name+"/pipeline.yaml", path); err != nil {
		return err
	}
	return builder(ctx, host, "-f", path, "--tag", "e2e")
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// fill writes a file of that many bytes, unless it is there.
func fill(name string, random *rand.ChaCha8, bytes int64) error {
	if bytes == 0 {
		bytes = 1
	}
	data := make([]byte, bytes)
	_, _ = random.Read(data) // never fails
	if info, err := os.Stat(name); err == nil && info.Size() == bytes {
		return nil
	}
	return os.WriteFile(name, data, 0o644)
}

// layer is one of an image's, as the registry's folder has it.
type layer struct {
	digest string
	size   int64
}

// layersOf are those of an image's platform, with the digest of its manifest.
func layersOf(name, arch string) (manifest string, layers []layer, err error) {
	type descriptor struct {
		Digest   string
		Size     int64
		Platform struct{ Architecture string }
	}
	read := func(reference string, v any) error {
		resp, err := http.Get("http://" + registry + "/v2/" + name + "/manifests/" + reference)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s:%s: %s", name, reference, resp.Status)
		}
		return json.NewDecoder(resp.Body).Decode(v)
	}
	var index struct{ Manifests []descriptor }
	if err := read("e2e", &index); err != nil {
		return "", nil, err
	}
	for _, m := range index.Manifests {
		if m.Platform.Architecture != arch {
			continue
		}
		var got struct{ Layers []descriptor }
		if err := read(m.Digest, &got); err != nil {
			return "", nil, err
		}
		for _, l := range got.Layers {
			layers = append(layers, layer{l.Digest, l.Size})
		}
		return m.Digest, layers, nil
	}
	return "", nil, fmt.Errorf("%s has no %s", name, arch)
}
