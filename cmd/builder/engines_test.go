package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// Debian's skopeo copies the images out of a registry, Debian's umoci unpacks them, and what comes out is what went in.
// This umoci knows no zstd, so skopeo decompresses for it.
func TestOtherToolsReadTheImages(t *testing.T) {
	for _, name := range []string{"skopeo", "umoci"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s (apt-get install %s)", name, name)
		}
	}
	for _, codec := range []string{"none", "gzip", "zstd", "auto"} {
		t.Run(codec, func(t *testing.T) {
			dir := project(t)
			if err := os.Symlink("tex/a.png", filepath.Join(dir, "assets", "link.png")); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, "amd64/bin/game"), 0o700); err != nil {
				t.Fatal(err)
			}
			with := strings.Replace(gamePipeline, "split: {layers: 4}", "split: {layers: 4}\n    compression: "+codec, 1)
			write(t, dir, "pipeline.yaml", with)
			reg := realRegistry(t, nil)
			mustBuild(t, dir, "--registry", reg, "--plain-http")

			work := t.TempDir()
			plain, layoutDir, bundle := filepath.Join(work, "plain"), filepath.Join(work, "oci"), filepath.Join(work, "bundle")
			policy := filepath.Join(work, "policy.json")
			write(t, work, "policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`)
			tool(t, "skopeo", "--policy", policy, "--override-arch", "amd64", "copy", "--src-tls-verify=false", "--dest-decompress",
				"docker://"+reg+"/game:1", "dir:"+plain)
			tool(t, "skopeo", "--policy", policy, "copy", "dir:"+plain, "oci:"+layoutDir+":1")
			unpack := []string{"unpack", "--image", layoutDir + ":1", bundle}
			if os.Geteuid() != 0 {
				unpack = append(unpack, "--rootless")
			}
			tool(t, "umoci", unpack...)

			want := listing(t, dir, "assets", "game", true)
			delete(want, "game/source.psd")
			maps.Copy(want, listing(t, dir, "amd64", ".", true))
			want["etc"], want["etc/game.conf"] = "dir 755", "file 644 port=1"
			if diff := cmp.Diff(want, listing(t, bundle, "rootfs", ".", false)); diff != "" {
				t.Errorf("unpacked tree (-want +got):\n%s", diff)
			}
		})
	}
}

// perm is the file's mode, or what the builder makes of it.
func perm(info fs.FileInfo, normalise bool) fs.FileMode {
	switch mode := info.Mode().Perm(); {
	case !normalise:
		return mode
	case info.IsDir(), mode&0o111 != 0:
		return 0o755
	default:
		return 0o644
	}
}

// listing describes what is below dir/root, as if root were at the path at.
func listing(t *testing.T, dir, root, at string, normalise bool) map[string]string {
	t.Helper()
	out := map[string]string{}
	base := filepath.Join(dir, root)
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name := filepath.Join(at, rel)
		switch {
		case name == ".":
		case d.IsDir():
			out[name] = fmt.Sprintf("dir %o", perm(info, normalise))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			out[name] = "link " + target
			return err
		default:
			raw, err := os.ReadFile(path)
			out[name] = fmt.Sprintf("file %o %s", perm(info, normalise), raw)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
