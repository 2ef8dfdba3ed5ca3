package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"
	helmregistry "helm.sh/helm/v4/pkg/registry"
)

// refName is the annotation that holds a tag in a layout's index.json.
const refName = "org.opencontainers.image.ref.name"

// pack stamps a chart and writes it twice: as helm package does, and as helm push does.
func (r release) pack(ctx context.Context, dir string) error {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return err
	}
	if c.Metadata.Version, err = chartVersion(c.Metadata.Version, r.version); err != nil {
		return err
	}
	c.Metadata.AppVersion = r.version // the images' tag, by default
	if err := c.Validate(); err != nil {
		return err
	}
	date(c, r.created)
	out := filepath.Join(r.dir, "charts")
	file, err := util.Save(c, out)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return withRegistry(func(host string, helm *helmregistry.Client) error {
		ref := host + "/" + c.Name() + ":" + c.Metadata.Version
		if _, err := helm.Push(raw, ref, helmregistry.PushOptCreationTime(r.created.Format(time.RFC3339))); err != nil {
			return fmt.Errorf("push: %w", err)
		}
		at, err := name.ParseReference(ref)
		if err != nil {
			return err
		}
		img, err := remote.Image(at, remote.WithContext(ctx))
		if err != nil {
			return err
		}
		to, err := layout.Write(filepath.Join(out, c.Name()), empty.Index)
		if err != nil {
			return err
		}
		return to.AppendImage(img, layout.WithAnnotations(map[string]string{refName: c.Metadata.Version}))
	})
}

// chartVersion is the release's version as Helm wants it: v1.2.3 is 1.2.3, and a commit without tags is a pre-release of what
// Chart.yaml says.
func chartVersion(own, version string) (string, error) {
	if v, err := semver.StrictNewVersion(strings.TrimPrefix(version, "v")); err == nil {
		return v.String(), nil
	}
	v, err := semver.StrictNewVersion(own + "-dev.g" + version)
	if err != nil {
		return "", fmt.Errorf("version %s after %s is no semantic version: %w", version, own, err)
	}
	return v.String(), nil
}

// date gives every file the same time, so that the same chart is the same archive.
func date(c *chart.Chart, at time.Time) {
	c.ModTime, c.SchemaModTime = at, at
	for _, files := range [][]*common.File{c.Raw, c.Templates, c.Files} {
		for _, f := range files {
			f.ModTime = at
		}
	}
}

// unpacked reads a chart from a layout, as `helm pull` does.
func unpacked(ctx context.Context, img v1.Image, ref string) (c *chart.Chart, archive []byte, err error) {
	err = withRegistry(func(host string, helm *helmregistry.Client) error {
		at, err := name.ParseReference(host + "/" + ref)
		if err != nil {
			return err
		}
		if err := remote.Write(at, img, remote.WithContext(ctx)); err != nil {
			return err
		}
		pulled, err := helm.Pull(at.Name(), helmregistry.PullOptWithChart(true))
		if err != nil {
			return err
		}
		archive = pulled.Chart.Data
		c, err = loader.LoadArchive(bytes.NewReader(archive))
		return err
	})
	return c, archive, err
}

// withRegistry runs f with a registry in this process, and Helm's client for it.
func withRegistry(f func(host string, helm *helmregistry.Client) error) error {
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, 0))))
	defer server.Close()
	// No credentials are needed, so none are looked for.
	helm, err := helmregistry.NewClient(helmregistry.ClientOptPlainHTTP(), helmregistry.ClientOptWriter(io.Discard),
		helmregistry.ClientOptCredentialsFile(filepath.Join(os.TempDir(), "no-credentials", "config.json")))
	if err != nil {
		return err
	}
	return f(strings.TrimPrefix(server.URL, "http://"), helm)
}
