package hosts

import (
	"net"
	"net/http"
	"time"
)

// Host is one place to ask for a registry's images.
type Host struct {
	// Scheme is http or https.
	Scheme string
	// Name is the host, with its port if that is not the scheme's.
	Name string
	// Path is where the API is, usually /v2; it has no slash at the end.
	Path string
	// Pull and Resolve say what the host is trusted with: content that its digest proves, and which digest a tag means.
	Pull, Resolve bool
	// CAs are PEM certificates to trust besides the system's.
	CAs [][]byte
	// Client are key pairs to authenticate with.
	Client []KeyPair
	// SkipVerify says whether to skip verification of the certificate; nil if the file does not.
	SkipVerify *bool
	// Header is sent with each request to the host.
	Header http.Header
	// DialTimeout is how long a connection may take to come about; 0 if the file does not say.
	DialTimeout time.Duration
}

// KeyPair is a client certificate and its key in PEM form; both may be the same file.
type KeyPair struct {
	Cert, Key []byte
}

// TLSConfigured says whether the file has anything to say about TLS for the host.
func (h Host) TLSConfigured() bool {
	return h.CAs != nil || h.Client != nil || h.SkipVerify != nil
}

// Mirrors says whether the host is not the registry itself, and so has to be told which registry is meant.
func (h Host) Mirrors(registry string) bool {
	return h.Name != registry && (registry != dockerHub || h.Name != dockerHubHost)
}

const (
	dockerHub     = "docker.io"
	dockerHubHost = "registry-1.docker.io"
)

// Default is the host of a registry that no file is about. On loopback it speaks http, unless the port says otherwise, and
// elsewhere plainHTTP decides.
func Default(registry string, plainHTTP bool) Host {
	return fillIn(Host{}, registry, plainHTTP)
}

// fillIn makes the host of a file that names no server the registry itself; what the file says of TLS stays.
func fillIn(h Host, registry string, plainHTTP bool) Host {
	h.Scheme, h.Name, h.Path, h.Pull, h.Resolve = "https", registry, "/v2", true, true
	switch {
	case registry == dockerHub:
		h.Name = dockerHubHost
	case plainHTTP:
		h.Scheme = "http"
	case loopback(registry):
		_, port, _ := net.SplitHostPort(registry) // without a port there is none
		if port != "" && port != "443" {
			h.Scheme = "http"
		}
		if port != "80" && h.SkipVerify == nil {
			h.SkipVerify = new(true)
		}
	}
	return h
}

// loopback is containerd's notion of it: localhost, or an address that is one.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
