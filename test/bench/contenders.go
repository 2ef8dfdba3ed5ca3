package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// contender builds and pushes the image. Scenarios call its methods in the order in which they stand here.
type contender interface {
	name() string
	// start readies a machine that has never built this; the time is not counted.
	start(ctx context.Context, reg *registry) error
	// build is one build with everything that the machine has by now.
	build(ctx context.Context) (figures, error)
	// forget makes the machine a fresh one; what is in the registry stays.
	forget(ctx context.Context) error
	stop()
}

// pitcrew is bin/builder.
type pitcrew struct {
	in    *inputs
	codec string
	extra []string // flags
	dir   string
	reg   *registry
}

func newBuilder(in *inputs, codec string) contender { return &pitcrew{in: in, codec: codec} }

func (p *pitcrew) name() string { return "pitcrew builder" }

const pipelineText = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: bench}
platforms: [linux/amd64, linux/arm64]
repository: bench/stk
tags: ["1"]
phases:
  assets:
    sources: [{dir: {path: %q}, destination: /usr/share/games/supertuxkart}]
    compression: %s
`

func (p *pitcrew) start(_ context.Context, reg *registry) (err error) {
	p.reg = reg
	if p.dir, err = os.MkdirTemp(p.in.work, "pitcrew-"); err != nil {
		return err
	}
	codec := strings.Replace(p.codec, "zstd", "zstd:3", 1)
	return os.WriteFile(filepath.Join(p.dir, "pipeline.yaml"), fmt.Appendf(nil, pipelineText, p.in.tree, codec), 0o600)
}

func (p *pitcrew) build(ctx context.Context) (figures, error) {
	return command(ctx, p.reg, 0, append([]string{
		filepath.Join(p.in.root, "bin/builder"), "build", "-f", filepath.Join(p.dir, "pipeline.yaml"),
		"--registry", p.reg.host, "--plain-http", "--cache-dir", filepath.Join(p.dir, "cache"),
	}, p.extra...))
}

// forget keeps the lock: it is in version control.
func (p *pitcrew) forget(context.Context) error { return os.RemoveAll(filepath.Join(p.dir, "cache")) }
func (p *pitcrew) stop()                        { _ = os.RemoveAll(p.dir) }

// buildkit is buildkitd with buildctl, 16 COPY --link layers, both platforms.
type buildkit struct {
	in         *inputs
	codec      string
	title      string
	platforms  string
	dockerfile string
	context    string
	dir        string
	reg        *registry
	daemon     *exec.Cmd
	fresh      bool
}

func newBuildKit(in *inputs, codec string) contender {
	var b strings.Builder
	b.WriteString("FROM scratch\n")
	for i := range groups {
		fmt.Fprintf(&b, "COPY --link g%02d /usr/share/games/supertuxkart\n", i)
	}
	return &buildkit{in: in, codec: codec, title: "BuildKit", platforms: "linux/amd64,linux/arm64", dockerfile: b.String(), context: in.tree}
}

func (b *buildkit) name() string { return b.title }

func (b *buildkit) start(ctx context.Context, reg *registry) (err error) {
	b.reg = reg
	if b.dir, err = os.MkdirTemp("", "buildkit-"); err != nil { // a short path: it holds a socket
		return err
	}
	config := fmt.Sprintf("[registry.%q]\n  http = true\n  insecure = true\n[worker.oci]\n  gc = false\n", reg.host)
	err = os.WriteFile(filepath.Join(b.dir, "buildkitd.toml"), []byte(config), 0o600)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, "Dockerfile"), []byte(b.dockerfile), 0o600)
	}
	if err != nil {
		return err
	}
	return b.startDaemon(ctx)
}

func (b *buildkit) address() string { return "unix://" + filepath.Join(b.dir, "sock") }

func (b *buildkit) startDaemon(ctx context.Context) error {
	log, err := os.Create(filepath.Join(b.dir, "buildkitd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	b.daemon = exec.CommandContext(ctx, filepath.Join(b.in.work, "bin/buildkitd"), "--config", filepath.Join(b.dir, "buildkitd.toml"),
		"--root", filepath.Join(b.dir, "root"), "--addr", b.address(), "--oci-worker-net", "host",
		"--containerd-worker=false", "--oci-worker=true", "--oci-worker-snapshotter", "overlayfs")
	b.daemon.Stdout, b.daemon.Stderr = log, log
	if err := b.daemon.Start(); err != nil {
		return err
	}
	for range 500 {
		probe := exec.CommandContext(ctx, filepath.Join(b.in.work, "bin/buildctl"), "--addr", b.address(), "debug", "workers")
		if probe.Run() == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	raw, _ := os.ReadFile(filepath.Join(b.dir, "buildkitd.log"))
	return fmt.Errorf("buildkitd does not answer:\n%s", tail(string(raw)))
}

func (b *buildkit) args(extra ...string) []string {
	compression := map[string]string{
		"none": "compression=uncompressed", "zstd": "compression=zstd,compression-level=3", "gzip": "compression=gzip",
	}[b.codec]
	return append([]string{
		filepath.Join(b.in.work, "bin/buildctl"), "--addr", b.address(), "build", "--progress=plain", "--frontend", "dockerfile.v0",
		"--local", "context=" + b.context, "--local", "dockerfile=" + b.dir, "--opt", "platform=" + b.platforms,
		"--output", "type=image,name=" + b.reg.host + "/bench/stk:1,push=true,registry.insecure=true,oci-mediatypes=true,force-compression=true," + compression,
	}, extra...)
}

func (b *buildkit) cache() string {
	return "type=registry,ref=" + b.reg.host + "/bench/cache:1,registry.insecure=true"
}

func (b *buildkit) build(ctx context.Context) (figures, error) {
	var extra []string
	if b.fresh {
		extra, b.fresh = []string{"--import-cache", b.cache()}, false
	}
	return command(ctx, b.reg, b.daemon.Process.Pid, b.args(extra...))
}

// forget stores BuildKit's cache in the registry, not counted, and starts an empty daemon.
func (b *buildkit) forget(ctx context.Context) error {
	if err := sh(ctx, "", b.args("--export-cache", b.cache()+",mode=max,image-manifest=true,oci-mediatypes=true")...); err != nil {
		return err
	}
	b.stopDaemon()
	b.fresh = true
	return b.startDaemon(ctx)
}

func (b *buildkit) stopDaemon() {
	_ = b.daemon.Process.Signal(os.Interrupt)
	_ = b.daemon.Wait()
	_ = os.RemoveAll(filepath.Join(b.dir, "root"))
}

func (b *buildkit) stop() {
	b.stopDaemon()
	_ = os.RemoveAll(b.dir)
}

// newSample is the AWS sample's way with assets: parts of an archive as layers, joined and unpacked in two more, on one
// platform. Its wget is a COPY here, since there is nowhere to download from.
func newSample(in *inputs) contender {
	return &sample{buildkit: buildkit{
		in: in, codec: "gzip", title: "AWS sample's pattern (amd64 only)", platforms: "linux/amd64",
		context: filepath.Join(in.work, "sample"),
		dockerfile: "FROM scratch\nCOPY busybox /bin/busybox\n" +
			"COPY part-aa /\nCOPY part-ab /\nCOPY part-ac /\nCOPY part-ad /\nCOPY part-ae /\nCOPY part-af /\n" +
			`RUN ["/bin/busybox", "sh", "-c", "/bin/busybox cat /part-a* > /assets.tar.gz"]` + "\n" +
			`RUN ["/bin/busybox", "tar", "-xzf", "/assets.tar.gz"]` + "\n",
	}}
}

type sample struct{ buildkit }

// start packs the archive and its parts, as the artists' side does: not counted.
func (s *sample) start(ctx context.Context, reg *registry) error {
	if err := s.pack(ctx); err != nil {
		return err
	}
	return s.buildkit.start(ctx, reg)
}

func (s *sample) pack(ctx context.Context) error {
	if err := os.MkdirAll(s.context, 0o755); err != nil {
		return err
	}
	script := `set -e; rm -f part-*; cp "$1/busybox-static/root/bin/busybox" busybox
tar -C "$2" -cf - . | gzip -1 > all.tar.gz
size=$(( ($(stat -c %s all.tar.gz) + 5) / 6 )); split -b "$size" all.tar.gz part-; rm all.tar.gz`
	return sh(ctx, s.context, "sh", "-c", script, "sh", s.in.work, s.in.tree)
}

func (s *sample) build(ctx context.Context) (figures, error) {
	if err := s.pack(ctx); err != nil {
		return figures{}, err
	}
	return s.buildkit.build(ctx)
}
