package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/internal/fetch"
	"github.com/pitcrew-dev/pitcrew/internal/filelock"
)

// folder is where downloads are kept, in the cache folder.
const folder = "archives"

// download gets the archive into the cache folder, unless an earlier build kept it there.
func (r *Resolved) download(ctx context.Context) (volume, error) {
	dir := filepath.Join(r.options.CacheDir, folder)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cache folder: %w", err)
	}
	name := filepath.Join(dir, r.options.SHA256)
	unlock, err := filelock.Lock(ctx, name+".lock")
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	defer unlock()
	if err := r.options.Fetch.File(ctx, r.options.URL, fetch.Sum{SHA256: r.options.SHA256}, name); err != nil {
		return nil, downloadError(err)
	}
	f, err := pin(name)
	if err != nil {
		return nil, err
	}
	return volume{f}, nil
}

// downloadError says whose fault a failed download is, and the way out.
func downloadError(err error) error {
	failed, ok := errors.AsType[*fetch.Error](err)
	if !ok {
		return err // the context's
	}
	switch failed.Reason {
	case fetch.Wrong:
		return builder.Errorf(builder.Input, "the server has another file: correct url, or sha256 if you trust the new one", "%w", err)
	case fetch.Missing:
		return builder.Errorf(builder.Input, "correct the source's url in the pipeline file", "%w", err)
	case fetch.BadURL:
		return builder.Errorf(builder.Config, "write a full https URL", "%w", err)
	case fetch.Refused:
		return builder.Errorf(builder.Auth, "put credentials into the URL, or use one that needs none", "%w", err)
	case fetch.NoSpace:
		return builder.Errorf(builder.Input, "free some space, or name another folder with --cache-dir", "%w", err)
	default:
		return builder.Errorf(builder.Transient, "try again; if it persists, check the network and proxy settings: what arrived is kept", "%w", err)
	}
}
