package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// PutBlob implements [builder.Repository].
func (r *Repository) PutBlob(ctx context.Context, blob builder.Blob, from ...string) (builder.Put, error) {
	d, known := blob.Descriptor()
	if known {
		have, err := r.HasBlob(ctx, d)
		if err != nil {
			return builder.Put{}, err
		}
		if have {
			return builder.Put{Descriptor: d, Transfer: builder.Reused}, nil
		}
		for _, source := range from {
			mounted, err := r.mount(ctx, d.Digest, source)
			if err != nil {
				return builder.Put{}, err
			}
			if mounted {
				r.setPresent(d.Digest)
				return builder.Put{Descriptor: d, Transfer: builder.Mounted}, nil
			}
		}
	}
	send := r.upload
	if known && d.Size <= maxWhole {
		send = r.uploadWhole
	}
	d, err := send(ctx, blob)
	if err != nil {
		return builder.Put{}, err
	}
	r.setPresent(d.Digest)
	return builder.Put{Descriptor: d, Transfer: builder.Pushed}, nil
}

// mount asks the registry to link a blob from a sibling repository. A registry that would rather have the bytes answers 202.
func (r *Repository) mount(ctx context.Context, digest v1.Hash, from string) (bool, error) {
	sibling, err := name.NewRepository(from)
	if err != nil || sibling.RegistryStr() != r.repo.RegistryStr() {
		return false, nil // another registry: nothing to mount from
	}
	client, err := r.connect(ctx, from)
	if err != nil {
		return false, err
	}
	q := url.Values{"mount": {digest.String()}, "from": {sibling.RepositoryStr()}}
	resp, err := r.doWith(ctx, client, http.MethodPost, r.url("blobs/uploads/?%s", q.Encode()), nil, nil, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusCreated, nil
}

// MarkPresent saves asking for a blob that something in the repository is known to reference.
func (r *Repository) MarkPresent(d v1.Descriptor) { r.setPresent(d.Digest) }

// upload sends the blob, taking up after a cut what the registry has kept.
func (r *Repository) upload(ctx context.Context, blob builder.Blob) (v1.Descriptor, error) {
	var s *session
	var d v1.Descriptor
	err := r.client.retry(ctx, "upload to "+r.Name(), func() (err error) {
		if s == nil {
			if s, err = r.startUpload(ctx); err != nil {
				return err
			}
		} else if err = s.resume(ctx); err != nil {
			s = nil
			return &temporary{err: err}
		}
		d, err = s.send(ctx, blob)
		if errors.Is(err, errSessionLost) {
			// Some registries take one body only: after a refused continuation the whole blob goes in one.
			r.single.Store(r.single.Load() || s.offset > 0)
			s = nil
			return &temporary{err: err}
		}
		return err
	})
	return d, err
}

// exactSize is the blob's size where it is known before the blob is produced, or -1: compressed for the first time, it is not.
func exactSize(blob builder.Blob) int64 {
	d, known := blob.Descriptor()
	if known || d.MediaType == types.OCIUncompressedLayer {
		return blob.SizeHint()
	}
	return -1
}

const changedHint = "let nothing write to the sources while they are built, then run the build again"

// maxWhole is the size up to which a blob is sent in the request that ends its upload: configs, mostly.
const maxWhole = 64 << 10

// uploadWhole sends a small blob in one request.
func (r *Repository) uploadWhole(ctx context.Context, blob builder.Blob) (v1.Descriptor, error) {
	want, _ := blob.Descriptor()
	var body bytes.Buffer
	d, err := blob.WriteTo(ctx, &body)
	if err != nil {
		return d, err
	}
	if d.Digest != want.Digest {
		return d, builder.Errorf(builder.Input, changedHint, "blob %s: %w", want.Digest, builder.ErrChanged)
	}
	s, err := r.startUpload(ctx)
	if err != nil {
		return d, err
	}
	location, err := withDigest(s.location, d.Digest)
	if err != nil {
		return d, err
	}
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	resp, err := r.do(ctx, http.MethodPut, location, header, body.Bytes(), http.StatusCreated, http.StatusNoContent)
	if err != nil {
		return d, err
	}
	return d, resp.Body.Close()
}

func withDigest(location string, digest v1.Hash) (string, error) {
	u, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("digest", digest.String())
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// errSessionLost is matched when the registry no longer knows the upload, or disagrees about its offset.
var errSessionLost = errors.New("the registry lost the upload")

// session is one upload in progress.
type session struct {
	*Repository
	conn     *http.Client
	location string
	// offset is how many bytes the registry has.
	offset int64
}

func (r *Repository) startUpload(ctx context.Context) (*session, error) {
	resp, err := r.do(ctx, http.MethodPost, r.url("blobs/uploads/"), nil, nil, http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	client, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{Repository: r, conn: client}
	return s, s.moved(resp)
}

// moved follows the Location of an answer; registries may give a new one each time.
func (s *session) moved(resp *http.Response) error {
	loc := resp.Header.Get("Location")
	if loc == "" {
		return builder.Errorf(builder.Transient, "", "%s: the answer to %s has no Location", s.Name(), resp.Request.Method)
	}
	u, err := resp.Request.URL.Parse(loc)
	if err != nil {
		return builder.Errorf(builder.Transient, "", "%s: Location %q: %w", s.Name(), loc, err)
	}
	s.location = u.String()
	return nil
}

// resume asks how much of the upload is there.
func (s *session) resume(ctx context.Context) error {
	resp, err := s.do(ctx, http.MethodGet, s.location, nil, nil, http.StatusNoContent)
	if err != nil {
		return fmt.Errorf("%w: %w", errSessionLost, err)
	}
	defer resp.Body.Close()
	s.offset = 0
	if _, last, ok := strings.Cut(resp.Header.Get("Range"), "-"); ok {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return errSessionLost
		}
		if n > 0 { // "0-0" is what several registries say of an empty upload
			s.offset = n + 1
		}
	}
	if resp.Header.Get("Location") == "" {
		return nil
	}
	return s.moved(resp)
}

// send produces the blob and sends what the registry does not have, chunk by chunk, then closes the upload with
// the digest that came out.
func (s *session) send(ctx context.Context, blob builder.Blob) (v1.Descriptor, error) {
	known, _ := blob.Descriptor()
	c := &chunks{session: s, ctx: ctx, skip: s.offset, total: exactSize(blob)}
	d, err := blob.WriteTo(ctx, c)
	if err == nil && c.total >= 0 && c.written != c.total {
		err = c.changed()
	}
	if cerr := c.finish(err); cerr != nil && (err == nil || errors.Is(err, io.ErrClosedPipe)) {
		err = cerr
	}
	if err != nil {
		return v1.Descriptor{}, err
	}
	if known.Digest != (v1.Hash{}) && known.Digest != d.Digest {
		return v1.Descriptor{}, builder.Errorf(builder.Input, changedHint, "blob %s: %w", known.Digest, builder.ErrChanged)
	}
	return d, s.close(ctx, d)
}

func (s *session) close(ctx context.Context, d v1.Descriptor) error {
	location, err := withDigest(s.location, d.Digest)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, location, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := s.conn.Do(req)
	if err != nil {
		return s.transportError(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusCreated, http.StatusNoContent:
		return nil
	case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable:
		// The registry has other bytes than those produced last: begin anew, and let the blob judge itself.
		return fmt.Errorf("%w: %s", errSessionLost, resp.Status)
	default:
		return s.statusError("PUT "+s.location, resp)
	}
}

// PutManifest implements [builder.Repository].
func (r *Repository) PutManifest(ctx context.Context, mediaType string, raw []byte) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: digest, Size: size}
	if _, before := r.manifests.Load(digest); before { // a phase's image can be the server's too
		return d, nil
	}
	if err := r.putManifest(ctx, digest.String(), mediaType, raw); err != nil {
		return v1.Descriptor{}, err
	}
	r.manifests.Store(digest, true)
	return d, nil
}

// Tag implements [builder.Repository].
func (r *Repository) Tag(ctx context.Context, tag string, d v1.Descriptor, raw []byte) error {
	return r.putManifest(ctx, tag, string(d.MediaType), raw)
}

func (r *Repository) putManifest(ctx context.Context, reference, mediaType string, raw []byte) error {
	resp, err := r.do(ctx, http.MethodPut, r.url("manifests/%s", reference), http.Header{"Content-Type": {mediaType}}, raw,
		http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
