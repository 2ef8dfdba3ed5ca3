package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer/registry/hosts"
)

const (
	dialTimeout = 30 * time.Second
	maxHeader   = 64 << 10
)

// The most that HTTP/2 keeps of what is not read yet; its defaults are larger than a chunk, and would double what a blob
// holds.
const (
	maxPerStream     = 512 << 10
	maxPerConnection = 3 << 20
)

func newTransport(p *pacing) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            p.dial(newDialer(dialTimeout)),
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: maxPerStream, MaxReceiveBufferPerConnection: maxPerConnection},
		// What is stored in the registry is wanted, byte for byte.
		DisableCompression: true,
	}
}

func newDialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
}

// transportFor gives base, or a copy of it made for what is configured for the host.
func transportFor(base http.RoundTripper, p *pacing, h hosts.Host) (http.RoundTripper, error) {
	t, ok := base.(*http.Transport)
	if !ok || !h.TLSConfigured() && h.DialTimeout == 0 {
		return base, nil
	}
	t = t.Clone()
	if h.DialTimeout > 0 {
		t.DialContext = p.dial(newDialer(h.DialTimeout))
	}
	if !h.TLSConfigured() {
		return t, nil
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	if err := configureTLS(t.TLSClientConfig, h); err != nil {
		return nil, err
	}
	if _, port, _ := net.SplitHostPort(h.Name); h.Scheme == "http" && port != "80" { // without a port there is none
		return &eitherScheme{rt: t, host: h.Name}, nil
	}
	return t, nil
}

func configureTLS(c *tls.Config, h hosts.Host) error {
	if h.SkipVerify != nil {
		c.InsecureSkipVerify = *h.SkipVerify
	}
	if len(h.CAs) > 0 && c.RootCAs == nil {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return fmt.Errorf("the system's certificates: %w", err)
		}
		c.RootCAs = pool
	}
	for i, pem := range h.CAs {
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca %d: holds no certificate in PEM form", i+1)
		}
	}
	for i, pair := range h.Client {
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return fmt.Errorf("client certificate %d: %w", i+1, err)
		}
		c.Certificates = append(c.Certificates, cert)
	}
	return nil
}

// eitherScheme asks a host that is configured for http, but with TLS settings, over TLS, unless it does not speak that:
// containerd does so.
type eitherScheme struct {
	rt    *http.Transport
	host  string
	plain atomic.Bool
}

func (s *eitherScheme) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "http" || req.URL.Host != s.host || s.plain.Load() {
		return s.rt.RoundTrip(req) //nolint:wrapcheck // a RoundTripper passes errors on
	}
	secure := req.Clone(req.Context())
	secure.URL.Scheme = "https"
	resp, err := s.rt.RoundTrip(secure)
	if err != nil {
		if _, speaks := errors.AsType[tls.RecordHeaderError](err); speaks || errors.Is(err, http.ErrSchemeMismatch) {
			s.plain.Store(true)
			return s.rt.RoundTrip(req) //nolint:wrapcheck // see above
		}
	}
	return resp, err //nolint:wrapcheck // see above
}

func (s *eitherScheme) CloseIdleConnections() { s.rt.CloseIdleConnections() }
