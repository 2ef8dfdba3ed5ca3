package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Grant is a value for the Authorization header.
type Grant struct {
	// Value is empty if the registry did not ask for anything yet.
	Value   string
	nth     int // which of the credentials it was granted for
	scope   string
	expires time.Time // zero: not
}

// Authorizer authorizes requests to one host. It is safe for concurrent use: when a token expires, one request renews it
// and the others wait.
type Authorizer struct {
	origin url.URL // of the host: scheme and host
	find   func(ctx context.Context, repository string) ([]Credential, error)
	do     func(*http.Request) (*http.Response, error)

	lock   chan struct{}
	wants  *Challenge
	grants map[string]Grant // by repository
}

// New makes the authorizer of a host. find gives its credentials, and an error that is told when none of them is good; do makes a request to a token server, following
// redirects without passing credentials on, and returns an answer other than 200 as an error, which matches
// [warmer.ErrDenied] for 401 and 403.
func New(scheme, host string, find func(ctx context.Context, repository string) ([]Credential, error), do func(*http.Request) (*http.Response, error)) *Authorizer {
	return &Authorizer{origin: url.URL{Scheme: scheme, Host: host}, find: find, do: do, lock: make(chan struct{}, 1), grants: map[string]Grant{}}
}

// Grant gives what to send with a request for a repository. It makes a request only to renew a token that has expired.
func (a *Authorizer) Grant(ctx context.Context, repository string) (Grant, error) {
	if err := a.acquire(ctx); err != nil {
		return Grant{}, err
	}
	defer a.release()
	g := a.grants[repository]
	if g.expires.IsZero() || time.Now().Before(g.expires) {
		return g, nil
	}
	return a.obtain(ctx, repository, g.nth, g.scope)
}

// Renew gets another grant after the registry refused one with these challenges. refusedFresh says that the one refused
// had just been granted, so that the credential behind it is of no use. The error matches [warmer.ErrDenied] when nothing
// is left to try.
func (a *Authorizer) Renew(ctx context.Context, repository string, refused Grant, refusedFresh bool, challenges []Challenge) (Grant, error) {
	if err := a.acquire(ctx); err != nil {
		return Grant{}, err
	}
	defer a.release()
	if now := a.grants[repository]; now.Value != "" && now.Value != refused.Value {
		return now, nil // somebody else was first
	}
	delete(a.grants, repository)
	wants, ok := choose(challenges)
	if !ok {
		return Grant{}, fmt.Errorf("%w: the registry wants to know who asks, but not in a way that is known here", warmer.ErrDenied)
	}
	a.wants = &wants
	nth := refused.nth
	if refusedFresh {
		nth++
	}
	return a.obtain(ctx, repository, nth, scopeFor(repository, wants.Params["scope"]))
}

func (a *Authorizer) acquire(ctx context.Context) error {
	select {
	case a.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	}
}

func (a *Authorizer) release() { <-a.lock }

// choose prefers tokens to passwords.
func choose(challenges []Challenge) (Challenge, bool) {
	for _, scheme := range []string{"bearer", "basic"} {
		if i := slices.IndexFunc(challenges, func(c Challenge) bool { return c.Scheme == scheme }); i >= 0 {
			return challenges[i], true
		}
	}
	return Challenge{}, false
}

// scopeFor takes the repository's name from the registry's suggestion, because a mirror may keep it below a prefix, and
// nothing else.
func scopeFor(repository, suggested string) string {
	for s := range strings.FieldsSeq(suggested) {
		kind, rest, _ := strings.Cut(s, ":")
		i := strings.LastIndex(rest, ":")
		if kind != "repository" || i < 0 {
			continue
		}
		if name := rest[:i]; strings.HasSuffix("/"+name, "/"+repository) {
			return "repository:" + name + ":pull"
		}
	}
	return "repository:" + repository + ":pull"
}

// obtain tries the credentials from the nth on, and nobody's if there are none.
func (a *Authorizer) obtain(ctx context.Context, repository string, nth int, scope string) (Grant, error) {
	creds, unread := a.find(ctx, repository)
	if len(creds) == 0 && a.wants.Scheme == "bearer" {
		creds = []Credential{{}}
	}
	err := fmt.Errorf("%w: no credentials for %s", warmer.ErrDenied, a.origin.Host)
	if len(creds) > 0 {
		err = fmt.Errorf("%w: %s refuses the credentials", warmer.ErrDenied, a.origin.Host)
	}
	for ; nth < len(creds); nth++ {
		var g Grant
		if g, err = a.grant(ctx, creds[nth], scope); err == nil {
			g.nth, g.scope = nth, scope
			a.grants[repository] = g
			return g, nil
		}
		if !errors.Is(err, warmer.ErrDenied) {
			break
		}
	}
	if unread != nil && errors.Is(err, warmer.ErrDenied) {
		err = fmt.Errorf("%w (%w)", err, unread)
	}
	return Grant{}, err
}

func (a *Authorizer) grant(ctx context.Context, c Credential, scope string) (Grant, error) {
	switch {
	case c.RegistryToken != "":
		return Grant{Value: "Bearer " + c.RegistryToken}, nil
	case a.wants.Scheme == "basic" && c.Username == "":
		return Grant{}, fmt.Errorf("%w: %s wants a password and a token is stored", warmer.ErrDenied, a.origin.Host)
	case a.wants.Scheme == "basic":
		return Grant{Value: "Basic " + basic(c)}, nil
	default:
		return a.token(ctx, c, scope)
	}
}

func basic(c Credential) string {
	return base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
}
