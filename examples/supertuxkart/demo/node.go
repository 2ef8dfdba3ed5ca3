package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
	"github.com/pitcrew-dev/pitcrew/internal/ctrd"
)

// node is a containerd of its own, as on a node, and the registry that it pulls from.
type node struct {
	demo
	*ctrd.Daemon
	reg            *registry
	dir            string
	stdout, stderr io.Writer
}

// warm has a node warmed before a server of the image is started there, and again for the next version of the game.
func (d demo) warm(ctx context.Context, reg *registry, ref string, stdout, stderr io.Writer) (err error) {
	switch {
	case os.Geteuid() != 0:
		fmt.Fprintln(stdout, "\nThe node that is warmed is left out: its containerd needs root.")
		return nil
	case d.containerd == "":
		fmt.Fprintln(stdout, "\nThe node that is warmed is left out: -containerd names none (scripts/containerd.sh builds one).")
		return nil
	}
	dir, err := os.MkdirTemp("", "demo-") // a short path: it holds a socket
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Mkdir(filepath.Join(dir, "node"), 0o755); err != nil { //nolint:gosec // containers are other users
		return err
	}
	daemon, err := ctrd.Start(ctx, d.containerd, filepath.Join(dir, "node"))
	if err != nil {
		return err
	}
	defer daemon.Stop()
	fmt.Fprintln(stdout, "\nA node: a containerd of its own, which has nothing yet.")
	n := node{demo: d, Daemon: daemon, reg: reg, dir: dir, stdout: stdout, stderr: stderr}
	if err := n.pull(ctx, ref); err != nil {
		return err
	}
	if err := n.warmer(ctx, stdout, "ls"); err != nil {
		return err
	}
	if err := n.start(ctx, ref, "match-1"); err != nil {
		return err
	}
	next, err := n.nextVersion(ctx)
	if err != nil {
		return fmt.Errorf("next version: %w", err)
	}
	fmt.Fprintln(stdout, "The next version, one track's scene and the server's configuration changed, gets warm while the match goes on.")
	if err := n.pull(ctx, next); err != nil {
		return err
	}
	return n.start(ctx, next, "match-2")
}

func (n *node) warmer(ctx context.Context, stdout io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, n.demo.warmerProgram, append(args, "--containerd", n.Socket, "--containerd-root", n.Root)...)
	cmd.Stdout, cmd.Stderr = stdout, n.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("warmer %s: %w", args[0], err)
	}
	return nil
}

// pull makes an image warm and tells what that took.
func (n *node) pull(ctx context.Context, ref string) error {
	var out bytes.Buffer
	sent := n.reg.sent.Load()
	if err := n.warmer(ctx, &out, "pull", ref, "--plain-http", "--disk-floor-percent", "1", "--output", "json"); err != nil {
		return err
	}
	var pulled struct {
		PulledBytes, ReusedBytes uint64
		Seconds                  float64
	}
	if err := json.Unmarshal(out.Bytes(), &pulled); err != nil {
		return err
	}
	fmt.Fprintf(n.stdout, "warmer pull: warm after %.1f s: %s pulled, %s were there (the registry sent %s)\n",
		pulled.Seconds, humanize.Bytes(pulled.PulledBytes), humanize.Bytes(pulled.ReusedBytes), humanize.Bytes(uint64(n.reg.sent.Load()-sent)))
	return nil
}

// start starts a container, as kubelet would, and waits until its server listens. Nothing may come from the registry.
func (n *node) start(ctx context.Context, ref, name string) error {
	sent, began := n.reg.sent.Load(), time.Now()
	run := n.Inside(ctx, "run", "--detach", "--null-io", "--snapshotter", "overlayfs", "--platform", "linux/"+runtime.GOARCH, ref, name)
	if _, err := ctrd.Output(run); err != nil {
		return err
	}
	log := filepath.Join(n.Rootfs(name), "var/lib/stk/config/supertuxkart/config-0.10/server_config.log")
	err := eventually(ctx, "a server that listens", func() bool {
		raw, err := os.ReadFile(log)
		return err == nil && bytes.Contains(raw, []byte(container.Listening))
	})
	if err != nil {
		raw, _ := os.ReadFile(log) // what there is of it
		return fmt.Errorf("%w\n%s", err, raw)
	}
	if moved := n.reg.sent.Load() - sent; moved != 0 {
		return fmt.Errorf("%s: the start of a warm image had the registry send %d bytes", name, moved)
	}
	fmt.Fprintf(n.stdout, "%s: %s, %.1f s after its start, with 0 bytes pulled\n", name, container.Listening, time.Since(began).Seconds())
	return nil
}

const (
	scene = "usr/share/games/supertuxkart/data/tracks/lighthouse/scene.xml"
	// packaged is the pipelines' line with what they take of the packaged assets.
	packaged = `        include: ["usr/share/games/**"]`
)

// nextVersion builds the game with a track that an artist changed and a configuration that devops did, from a copy of the
// pipeline's folder.
func (n *node) nextVersion(ctx context.Context) (string, error) {
	dir := filepath.Join(n.dir, "next")
	if err := os.CopyFS(dir, os.DirFS(filepath.Dir(n.pipeline))); err != nil {
		return "", err
	}
	track, err := os.ReadFile(filepath.Join(n.Rootfs("match-1"), scene))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "scene.xml"), append(track, "<!-- a little brighter -->\n"...), 0o600); err != nil {
		return "", err
	}
	edits := []struct{ file, old, with string }{
		{
			filepath.Base(n.pipeline), packaged + "\n",
			packaged + "\n        exclude: [" + scene + "]\n      - files: [{path: /" + scene + ", from: scene.xml}]\n",
		},
		{"rootfs/server_config.xml", `<server-name value="pitcrew"/>`, `<server-name value="pitcrew, next version"/>`},
	}
	for _, e := range edits {
		if err := edit(filepath.Join(dir, e.file), e.old, e.with); err != nil {
			return "", err
		}
	}
	lock := filepath.Join(n.dir, "next.lock")
	raw, err := os.ReadFile(n.lock())
	if err == nil {
		err = os.WriteFile(lock, raw, 0o600)
	}
	if err != nil {
		return "", err
	}
	next := n.demo
	next.pipeline = filepath.Join(dir, filepath.Base(n.pipeline))
	return next.build(ctx, n.reg.host, n.stderr, "--tag", "next", "--lock", lock)
}

func edit(file, old, with string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !strings.Contains(string(raw), old) {
		return fmt.Errorf("%s has no %q", filepath.Base(file), old)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(raw), old, with, 1)), 0o600)
}
