package apt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/internal/fetch"
)

// localPath is the file that the package is in already.
func (p Package) localPath() (string, bool) {
	u, err := url.Parse(p.URI)
	if err != nil || u.Scheme != "file" && u.Scheme != "copy" || u.Path == "" {
		return "", false
	}
	return filepath.Clean(u.Path), true
}

// download gets the package into the cache folder, unless an earlier build kept it there.
func (r *Resolved) download(ctx context.Context, p Package) (string, error) {
	u, err := url.Parse(p.URI)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", builder.Errorf(builder.Input, "list mirrors with http:, https: or file: URIs in the pipeline file",
			"package %s: URIs of this kind are for apt alone", p.file())
	}
	dir := filepath.Join(r.options.CacheDir, "debs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	name := filepath.Join(dir, p.SHA256.Hex+".deb")
	if isKept(p, name) {
		return name, nil
	}
	if err := r.options.Fetch.File(ctx, p.URI, fetch.Sum{SHA256: p.SHA256.Hex, Size: p.Size}, name); err != nil {
		return "", downloadError(ctx, p, err)
	}
	return name, nil
}

// isKept reports whether the file is the package.
func isKept(p Package, name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	sum := &hashing{r: f, h: sha256.New()}
	_, err = io.Copy(io.Discard, sum)
	return err == nil && sum.verify(p) == nil
}

// downloadError explains why a package could not be had. The client's own text may show a password.
func downloadError(ctx context.Context, p Package, err error) error {
	failed, ok := errors.AsType[*fetch.Error](err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("download package %s: %w", p.file(), ctx.Err())
	case errors.Is(err, syscall.ENOSPC):
		return builder.Errorf(builder.Input, "free some space, or name another cache folder", "download package %s: %w", p.file(), err)
	case !ok:
		return fmt.Errorf("download package %s: %w", p.file(), err)
	case errors.Is(err, fetch.ErrWrongSum):
		return builder.Errorf(builder.Input, wrongPackageHint, "download package %s: %w", p.file(), failed.Err)
	}
	switch failed.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return builder.Errorf(builder.Auth, "put credentials into the mirror's URI, or list another mirror",
			"download package %s: %w", p.file(), failed.Err)
	case http.StatusNotFound, http.StatusGone, http.StatusBadRequest:
		return builder.Errorf(builder.Input, "the mirror removed the package since the index was made: build again with a fresh index",
			"download package %s: %w", p.file(), failed.Err)
	default:
		return builder.Errorf(builder.Transient, "try again; if it persists, check the network and proxy settings, or list other mirrors",
			"download package %s: %w", p.file(), failed.Err)
	}
}
