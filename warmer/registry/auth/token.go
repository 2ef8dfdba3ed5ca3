package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	maxToken = 1 << 20
	// tokenTimeout bounds a request for a token, for which others may wait.
	tokenTimeout = 30 * time.Second
	// defaultLife is what the specification says of a token whose life is not given, and the least that is believed.
	defaultLife = 60 * time.Second
	maxLife     = 12 * time.Hour
)

// token asks the token server that the host names (distribution's docs/spec/auth/token.md and oauth.md).
func (a *Authorizer) token(ctx context.Context, c Credential, scope string) (Grant, error) {
	realm, err := a.realm()
	if err != nil {
		return Grant{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	req, err := a.request(ctx, realm, c, scope)
	if err != nil {
		return Grant{}, fmt.Errorf("token of %s: %w", a.origin.Host, err)
	}
	asked := time.Now()
	resp, err := a.do(req)
	if err != nil {
		return Grant{}, fmt.Errorf("token of %s: %w", a.origin.Host, err)
	}
	defer resp.Body.Close()
	value, life, err := readToken(resp.Body)
	if err != nil {
		return Grant{}, fmt.Errorf("token of %s: %w", a.origin.Host, err)
	}
	// A token is renewed before it expires: it must live until the request with it is there.
	return Grant{Value: "Bearer " + value, expires: asked.Add(life - min(life/10, 10*time.Second))}, nil
}

// realm is the token server's address. A registry that is spoken to over TLS cannot have passwords sent without.
func (a *Authorizer) realm() (*url.URL, error) {
	u, err := url.Parse(a.wants.Params["realm"])
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, fmt.Errorf("token of %s: it names no token server", a.origin.Host)
	}
	if u.Scheme == "http" && a.origin.Scheme == "https" {
		return nil, fmt.Errorf("token of %s: its token server %s is not reached over TLS", a.origin.Host, u.Host)
	}
	return u, nil
}

func (a *Authorizer) request(ctx context.Context, realm *url.URL, c Credential, scope string) (*http.Request, error) {
	service := a.wants.Params["service"]
	if c.IdentityToken != "" {
		form := url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {c.IdentityToken},
			"service": {service}, "scope": {scope}, "client_id": {"pitcrew-warmer"},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err //nolint:wrapcheck // the caller does
	}
	q := realm.Query()
	if service != "" {
		q.Set("service", service)
	}
	q.Set("scope", scope)
	realm.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), http.NoBody)
	if err == nil && c != (Credential{}) {
		req.SetBasicAuth(c.Username, c.Password)
	}
	return req, err //nolint:wrapcheck // the caller does
}

func readToken(body io.Reader) (value string, life time.Duration, err error) {
	var t struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxToken)).Decode(&t); err != nil {
		return "", 0, fmt.Errorf("the answer holds no token: %w", hideContent(err))
	}
	value = t.Token
	if value == "" {
		value = t.AccessToken
	}
	if value == "" || !httpguts.ValidHeaderFieldValue(value) {
		return "", 0, errors.New("the answer holds no token")
	}
	seconds := min(max(t.ExpiresIn, defaultLife.Seconds()), maxLife.Seconds())
	return value, time.Duration(seconds * float64(time.Second)), nil
}
