package registry

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry/auth"
	"github.com/pitcrew-dev/pitcrew/warmer/registry/hosts"
)

// endpoint is a host that is asked for the images of one registry.
type endpoint struct {
	c        *Client
	host     hosts.Host
	registry string // whose images; differs from the host's name for a mirror
	rt       http.RoundTripper
	auth     *auth.Authorizer
	gate     *gate
}

// endpoint makes one. The client's lock is held.
func (c *Client) endpoint(h hosts.Host, registry string) (*endpoint, error) {
	rt, err := transportFor(c.o.Transport, &c.pacing, h)
	if err != nil {
		return nil, err
	}
	e := &endpoint{c: c, host: h, registry: registry, rt: rt, gate: c.gate(h)}
	e.auth = auth.New(h.Scheme, h.Name, func(ctx context.Context, repository string) ([]auth.Credential, error) {
		return c.o.Credentials.Find(ctx, h.Name, repository)
	}, e.token)
	return e, nil
}

func (e *endpoint) closeIdle() {
	if t, ok := e.rt.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// url is of something in the repository, for example manifests/latest.
func (e *endpoint) url(repository, what string) *url.URL {
	u := &url.URL{Scheme: e.host.Scheme, Host: e.host.Name, Path: e.host.Path + "/" + repository + "/" + what}
	if e.host.Mirrors(e.registry) {
		u.RawQuery = url.Values{"ns": {e.registry}}.Encode()
	}
	return u
}

func (e *endpoint) is(u *url.URL) bool { return u.Scheme == e.host.Scheme && u.Host == e.host.Name }

// maxAuth bounds how often one request is authorized anew.
const maxAuth = 16

// ask makes a request about the repository, authorized as the host wants it. The answer can have any status.
func (e *endpoint) ask(ctx context.Context, method, repository, what string, header http.Header) (*http.Response, error) {
	grant, err := e.auth.Grant(ctx, repository)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what for
	}
	for n := range maxAuth {
		private := maps.Clone(e.host.Header)
		if grant.Value != "" {
			if private == nil {
				private = http.Header{}
			}
			private.Set("Authorization", grant.Value)
		}
		req, err := http.NewRequestWithContext(ctx, method, e.url(repository, what).String(), http.NoBody)
		if err != nil {
			return nil, err //nolint:wrapcheck // cannot be
		}
		req.Header = header.Clone()
		resp, err := e.follow(req, private)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || !e.is(resp.Request.URL) {
			return resp, err
		}
		challenges := auth.ParseChallenges(resp.Header.Values("WWW-Authenticate"))
		discard(resp)
		if grant, err = e.auth.Renew(ctx, repository, grant, n > 0, challenges); err != nil {
			return nil, err //nolint:wrapcheck // says what for
		}
	}
	return nil, fmt.Errorf("%w: %s refuses everything", warmer.ErrDenied, e.host.Name)
}

// token makes a request to a token server, for the authorizer. What it says about the image is not about the image.
func (e *endpoint) token(req *http.Request) (*http.Response, error) {
	private := http.Header{}
	if e.is(req.URL) {
		private = e.host.Header.Clone()
	}
	if private == nil {
		private = http.Header{}
	}
	if v := req.Header.Get("Authorization"); v != "" {
		req.Header.Del("Authorization")
		private.Set("Authorization", v)
	}
	resp, err := e.follow(req, private)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	f := answerError(resp)
	switch {
	case f.status == http.StatusUnauthorized, f.status == http.StatusForbidden:
		f.err = fmt.Errorf("%w: status %d: %w", warmer.ErrDenied, f.status, f.err)
	case f.final:
		f.err = fmt.Errorf("status %d: %w", f.status, f.err)
		f.status = 0
	}
	return nil, f
}

// discard lets the connection be used again if little is left of the answer.
func discard(resp *http.Response) {
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // the answer is of no interest
}
