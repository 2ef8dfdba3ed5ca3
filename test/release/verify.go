package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// sums is the file that lists all others.
const sums = "SHA256SUMS"

// platforms are those of every program.
var platforms = []string{"linux/amd64", "linux/arm64"}

// verify reads everything that would be published. All faults are reported.
func (r release) verify(ctx context.Context, stdout io.Writer) error {
	files, err := r.checksums()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d files are as %s says\n", files, sums)
	images, err := filepath.Glob(filepath.Join(r.dir, "images", "*", "index.json"))
	if err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(r.dir, "charts", "*.tgz"))
	if err != nil {
		return err
	}
	var faults []error
	if len(images) == 0 || len(archives) == 0 {
		faults = append(faults, fmt.Errorf("%s has %d images and %d charts", r.dir, len(images), len(archives)))
	}
	for _, index := range images {
		program := filepath.Base(filepath.Dir(index))
		if err := errors.Join(r.image(program), r.binaries(program), r.bills(program)); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", program, err))
			continue
		}
		fmt.Fprintf(stdout, "%s %s: image, binaries and bills of materials for %s\n", program, r.version, strings.Join(platforms, ", "))
	}
	for _, archive := range archives {
		name, err := r.chart(ctx, archive)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", filepath.Base(archive), err))
			continue
		}
		fmt.Fprintf(stdout, "chart %s, whose images have the tag %s\n", name, r.version)
	}
	return errors.Join(faults...)
}

// checksums holds every file against SHA256SUMS, which has all of them and no other, and counts them.
func (r release) checksums() (int, error) {
	raw, err := os.ReadFile(filepath.Join(r.dir, sums))
	if err != nil {
		return 0, err
	}
	want := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			return 0, fmt.Errorf("%s: %q is not SUM  FILE", sums, lines.Text())
		}
		want[strings.TrimPrefix(name, "./")] = sum
	}
	n := len(want)
	var faults []error
	err = filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(r.dir, path)
		if err != nil || name == sums {
			return err
		}
		got, err := sha256File(path)
		if err != nil {
			return err
		}
		if got != want[name] {
			faults = append(faults, fmt.Errorf("%s has SHA-256 %s, %s says %q", name, got, sums, want[name]))
		}
		delete(want, name)
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(want)) {
		faults = append(faults, fmt.Errorf("%s is missing, which %s lists", name, sums))
	}
	return n, errors.Join(append(faults, err)...)
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// image checks that the tag names an index of both platforms, with the annotations of this release. What the layers are is
// checked by `builder verify`.
func (r release) image(program string) error {
	path, err := layout.FromPath(filepath.Join(r.dir, "images", program))
	if err != nil {
		return err
	}
	tagged, err := tags(path)
	if err != nil {
		return err
	}
	desc, ok := tagged[r.version]
	if !ok {
		return fmt.Errorf("its layout has no tag %s", r.version)
	}
	top, err := path.ImageIndex()
	if err != nil {
		return err
	}
	idx, err := top.ImageIndex(desc.Digest)
	if err != nil {
		return err
	}
	manifest, err := idx.IndexManifest()
	if err != nil {
		return err
	}
	faults := []error{r.annotations("index", manifest.Annotations)}
	var have []string
	for _, m := range manifest.Manifests {
		have = append(have, m.Platform.String())
		img, err := idx.Image(m.Digest)
		if err != nil {
			return err
		}
		own, err := img.Manifest()
		if err != nil {
			return err
		}
		faults = append(faults, r.annotations(m.Platform.String(), own.Annotations))
	}
	if !slices.Equal(have, platforms) {
		faults = append(faults, fmt.Errorf("the image is for %v, want %v", have, platforms))
	}
	return errors.Join(faults...)
}

// tags are what a layout's index.json names.
func tags(path layout.Path) (map[string]v1.Descriptor, error) {
	top, err := path.ImageIndex()
	if err != nil {
		return nil, err
	}
	index, err := top.IndexManifest()
	if err != nil {
		return nil, err
	}
	out := map[string]v1.Descriptor{}
	for _, m := range index.Manifests {
		out[m.Annotations[refName]] = m
	}
	return out, nil
}

func (r release) annotations(of string, have map[string]string) error {
	var faults []error
	for key, want := range map[string]string{"version": r.version, "revision": r.revision} {
		if got := have["org.opencontainers.image."+key]; got != want {
			faults = append(faults, fmt.Errorf("%s: org.opencontainers.image.%s is %q, want %q", of, key, got, want))
		}
	}
	return errors.Join(faults...)
}

// binaries checks for whom and from which commit the programs were built, as the go command recorded it.
func (r release) binaries(program string) error {
	var faults []error
	for _, platform := range platforms {
		os, arch, _ := strings.Cut(platform, "/")
		file := filepath.Join(r.dir, "bin", program+"-"+os+"-"+arch)
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		have := map[string]string{}
		for _, s := range info.Settings {
			have[s.Key] = s.Value
		}
		for key, want := range map[string]string{"GOOS": os, "GOARCH": arch, "CGO_ENABLED": "0", "vcs.revision": r.revision} {
			if have[key] != want {
				faults = append(faults, fmt.Errorf("%s: %s is %q, want %q", filepath.Base(file), key, have[key], want))
			}
		}
	}
	return errors.Join(faults...)
}

// bills checks that a bill of materials lists the modules of the program that it is about.
func (r release) bills(program string) error {
	var faults []error
	for _, platform := range platforms {
		name := program + "-" + strings.ReplaceAll(platform, "/", "-")
		info, err := buildinfo.ReadFile(filepath.Join(r.dir, "bin", name))
		if err != nil {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(r.dir, "sbom", name+".spdx.json"))
		if err != nil {
			return err
		}
		var bill struct {
			SPDXVersion string `json:"spdxVersion"`
			Packages    []struct {
				Name    string `json:"name"`
				Version string `json:"versionInfo"`
			} `json:"packages"`
		}
		if err := json.Unmarshal(raw, &bill); err != nil {
			return fmt.Errorf("sbom/%s: %w", name, err)
		}
		listed := map[string]string{}
		for _, p := range bill.Packages {
			listed[p.Name] = p.Version
		}
		for _, m := range append(info.Deps, &info.Main) {
			if listed[m.Path] != m.Version {
				faults = append(faults, fmt.Errorf("sbom/%s lists %s %q, the program has %q", name, m.Path, listed[m.Path], m.Version))
			}
		}
	}
	return errors.Join(faults...)
}

// chart checks that the layout gives Helm the same chart as the archive, and that it is stamped.
func (r release) chart(ctx context.Context, file string) (string, error) {
	archive, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	base := strings.TrimSuffix(filepath.Base(file), ".tgz")
	dirs, err := filepath.Glob(filepath.Join(r.dir, "charts", "*", "index.json"))
	if err != nil {
		return "", err
	}
	for _, index := range dirs {
		name := filepath.Base(filepath.Dir(index))
		version, ok := strings.CutPrefix(base, name+"-")
		if !ok {
			continue
		}
		path := layout.Path(filepath.Dir(index))
		tagged, err := tags(path)
		if err != nil {
			return "", err
		}
		desc, ok := tagged[version]
		if !ok {
			continue
		}
		img, err := path.Image(desc.Digest)
		if err != nil {
			return "", err
		}
		c, pulled, err := unpacked(ctx, img, name+":"+version)
		switch {
		case err != nil:
			return "", err
		case !bytes.Equal(pulled, archive):
			return "", errors.New("the layout has another archive")
		case c.Name() != name || c.Metadata.Version != version || c.Metadata.AppVersion != r.version:
			return "", fmt.Errorf("its Chart.yaml says %s %s, appVersion %s; want appVersion %s", c.Name(), c.Metadata.Version, c.Metadata.AppVersion, r.version)
		}
		return base, nil
	}
	return "", errors.New("no layout has it")
}
