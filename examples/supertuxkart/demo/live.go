package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/namespace"
)

// podEnv makes this program the pod that it describes, in JSON.
const podEnv = "PITCREW_DEMO_POD"

// live lets the server of the image live through a session under Agones, with the sidecar beside it and real bots as its players.
func (d demo) live(ctx context.Context, host, ref string, stdout, stderr io.Writer) (err error) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(stdout, "\nThe session with the sidecar is left out: its network and processes of their own need root.")
		return nil
	}
	fmt.Fprintln(stdout, "\nA session: the server of the image, the sidecar beside it, an Agones in memory, and bots that have all the assets.")
	bots, err := d.build(ctx, host, stderr, "--profile", "full", "--tag", "1.4-full", "--platform", "linux/"+runtime.GOARCH,
		"--lock", filepath.Join(d.cacheDir, "full.lock"))
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
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // server and bots are other users
		return err
	}
	p := pod{Server: filepath.Join(dir, "server"), Bots: filepath.Join(dir, "bots"), Sidecar: d.sidecar}
	for root, of := range map[string]string{p.Server: ref, p.Bots: bots} {
		img, err := pull(ctx, of, runtime.GOARCH)
		if err != nil {
			return err
		}
		if err := container.Unpack(ctx, img, root); err != nil {
			return err
		}
	}
	described, err := json.Marshal(p)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), podEnv+"="+string(described))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = stdout, stderr, namespace.Own()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	return nil
}
