// Command demo builds the real SuperTuxKart images for two architectures with bin/builder, pushes them to a registry that
// it serves on loopback from a folder, prints what each node would pull, and runs what it pulls back: the amd64
// server directly, the arm64 one under qemu-user. Then the native server lives through a session with the sidecar, and a node is
// warmed: a containerd that starts servers without pulling, and gets the next version of the game by its changes alone.
// Everything is kept in .cache/demo, so a second run shows what a build costs when nothing changed.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
	"github.com/pitcrew-dev/pitcrew/internal/counted"
	"github.com/pitcrew-dev/pitcrew/internal/diskregistry"
)

// demo says where things are.
type demo struct {
	builder, sidecar, warmerProgram string
	// containerd is the daemon, with shim and ctr beside it; empty leaves the node out.
	containerd string
	pipeline   string
	cacheDir   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if described := os.Getenv(podEnv); described != "" {
		stop()
		os.Exit(runPod(described, os.Stdout, os.Stderr))
	}
	d := demo{builder: "bin/builder", sidecar: "bin/sidecar", warmerProgram: "bin/warmer", cacheDir: ".cache/demo"}
	flag.StringVar(&d.pipeline, "pipeline", "examples/supertuxkart/pipeline.yaml", "what to build")
	flag.StringVar(&d.containerd, "containerd", "", "the containerd that is warmed")
	flag.Parse()
	if err := d.run(ctx, os.Stdout, os.Stderr); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
}

func (d demo) run(ctx context.Context, stdout, stderr io.Writer) error {
	for _, arch := range []string{"amd64", "arm64"} {
		if err := container.Supported(arch, runtime.GOARCH); err != nil {
			return err
		}
	}
	reg, err := serveRegistry(ctx, filepath.Join(d.cacheDir, "registry"))
	if err != nil {
		return err
	}
	defer reg.stop()
	host := reg.host
	fmt.Fprintf(stdout, "registry: %s (kept in %s)\n\n", host, d.cacheDir)

	start := time.Now()
	ref, err := d.build(ctx, host, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "built %s in %.1f s\n\n", ref, time.Since(start).Seconds())
	if err := d.printPulls(ctx, stdout, ref, stderr); err != nil {
		return err
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if err := prove(ctx, stdout, ref, arch); err != nil {
			return fmt.Errorf("%s server: %w", arch, err)
		}
	}
	if err := d.live(ctx, host, ref, stdout, stderr); err != nil {
		return err
	}
	if err := d.warm(ctx, reg, ref, stdout, stderr); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	fmt.Fprintln(stdout, "\nBoth images run. Run `make demo` again to see what a build costs when nothing changed.")
	return nil
}

// registry is kept on disk, and counts what it sends.
type registry struct {
	host string
	sent atomic.Int64
	stop func()
}

func serveRegistry(ctx context.Context, dir string) (*registry, error) {
	handler, err := diskregistry.New(dir)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &registry{host: listener.Addr().String()}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		handler.ServeHTTP(counted.Answer(w, &r.sent), req)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with stop, and says just that
	}()
	r.stop = func() {
		_ = server.Close() // all that is left to say is that it is closed
		<-done
	}
	return r, nil
}

// lock is where the versions of what is built are kept.
func (d demo) lock() string {
	return filepath.Join(d.cacheDir, strings.TrimSuffix(filepath.Base(d.pipeline), ".yaml")+".lock")
}

func (d demo) build(ctx context.Context, host string, stderr io.Writer, more ...string) (ref string, err error) {
	args := []string{
		"build", "-f", d.pipeline, "--registry", host, "--plain-http",
		"--cache-dir", filepath.Join(d.cacheDir, "builder"), "--lock", d.lock(), "--output", "json",
	}
	cmd := exec.CommandContext(ctx, d.builder, append(args, more...)...)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("builder build: %w", err)
	}
	var result struct {
		Ref string `json:"ref"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return "", err
	}
	return result.Ref, nil
}

// report is the part of `builder inspect --output json` that the table needs.
type report struct {
	StoredBytes int64 `json:"storedBytes"`
	NaiveBytes  int64 `json:"naiveBytes"`
	Platforms   []struct {
		Platform  string `json:"platform"`
		PullBytes int64  `json:"pullBytes"`
		Layers    []struct {
			Phase  string `json:"phase"`
			Size   int64  `json:"size"`
			Shared bool   `json:"shared"`
		} `json:"layers"`
	} `json:"platforms"`
}

func (d demo) printPulls(ctx context.Context, stdout io.Writer, ref string, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, d.builder, "inspect", ref, "--plain-http", "--output", "json")
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("builder inspect: %w", err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "platform\tphase\tlayers\tpulled by a cold node\tby a node that is warm for the assets")
	for _, p := range r.Platforms {
		var warm int64
		for _, phase := range []string{"assets", "base", "code", "server"} {
			var layers int
			var size int64
			for _, l := range p.Layers {
				if l.Phase == phase {
					layers, size = layers+1, size+l.Size
				}
			}
			own := size
			if phase == "assets" {
				own = 0
			}
			warm += own
			fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\n", p.Platform, phase, layers, humanize.Bytes(uint64(size)), humanize.Bytes(uint64(own)))
		}
		fmt.Fprintf(tw, "%s\ttotal\t%d\t%s\t%s\n", p.Platform, len(p.Layers), humanize.Bytes(uint64(p.PullBytes)), humanize.Bytes(uint64(warm)))
	}
	fmt.Fprintf(tw, "registry\tstores\t\t%s\tinstead of %s if platforms shared nothing\n",
		humanize.Bytes(uint64(r.StoredBytes)), humanize.Bytes(uint64(r.NaiveBytes)))
	return tw.Flush()
}

// prove pulls one platform back, unpacks it and waits until its server listens.
func prove(ctx context.Context, stdout io.Writer, ref, arch string) (err error) {
	img, err := pull(ctx, ref, arch)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pitcrew-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if rerr := os.RemoveAll(dir); err == nil {
			err = rerr
		}
	}()
	rootfs, bundle := filepath.Join(dir, "rootfs"), filepath.Join(dir, "bundle")
	if err := container.Unpack(ctx, img, rootfs); err != nil {
		return err
	}
	if err := os.Mkdir(bundle, 0o755); err != nil {
		return err
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return err
	}
	server, err := container.Start(ctx, rootfs, bundle, cf)
	if err != nil {
		return err
	}
	waitCtx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	line, err := server.WaitListening(waitCtx)
	if stopErr := server.Stop(context.WithoutCancel(ctx), 10*time.Second); err == nil {
		err = stopErr
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "linux/%s: %s\n", arch, line)
	return nil
}

func pull(ctx context.Context, ref, arch string) (v1.Image, error) {
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return nil, err
	}
	return remote.Image(parsed, remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
}
