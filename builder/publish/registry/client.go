package registry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	ecr "github.com/awslabs/amazon-ecr-credential-helper/ecr-login"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// DefaultChunk is how many bytes one PATCH carries, and so the most that a cut connection costs again on a registry
// that keeps whole chunks only.
const DefaultChunk = 64 << 20

// Options say how to reach registries. The zero value is ready to use.
type Options struct {
	// Keychain gives credentials; nil means docker's and podman's configuration, credential helpers, and Amazon ECR.
	Keychain authn.Keychain
	// PlainHTTP uses http for every host; loopback hosts may always answer it.
	PlainHTTP bool
	// Transport is what requests finally go through; nil means http.DefaultTransport.
	Transport http.RoundTripper
	// Chunk is the most bytes of one PATCH; 0 means DefaultChunk.
	Chunk int64
	// Retries is how often a request that may succeed later is made again; 0 means 7.
	Retries int
	Log     *slog.Logger
}

// Client opens repositories and keeps what they share. It is safe for concurrent use.
type Client struct {
	o     Options
	mu    sync.Mutex
	repos map[string]*Repository
}

// New makes a client.
func New(o Options) *Client {
	if o.Keychain == nil {
		o.Keychain = authn.NewMultiKeychain(authn.DefaultKeychain, lazyECR{})
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Chunk == 0 {
		o.Chunk = DefaultChunk
	}
	if o.Retries == 0 {
		o.Retries = 7
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{o: o, repos: map[string]*Repository{}}
}

// lazyECR asks Amazon for a token only if an ECR registry is used.
type lazyECR struct{}

func (lazyECR) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if !isECR(r.RegistryStr()) && r.RegistryStr() != "public.ecr.aws" {
		return authn.Anonymous, nil
	}
	return authn.NewKeychainFromHelper(ecr.NewECRHelper()).Resolve(r)
}

// Repository names HOST/PATH. It makes no request.
func (c *Client) Repository(fullName string) (*Repository, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.repos[fullName]; ok {
		return r, nil
	}
	var opts []name.Option
	if c.o.PlainHTTP {
		opts = append(opts, name.Insecure)
	}
	repo, err := name.NewRepository(fullName, append(opts, name.StrictValidation)...)
	if err != nil {
		return nil, builder.Errorf(builder.Config, "write HOST/PATH, for example 127.0.0.1:5000/games/stk", "repository %q: %w", fullName, err)
	}
	r := &Repository{client: c, repo: repo, present: map[v1.Hash]bool{}}
	c.repos[fullName] = r
	return r, nil
}

// Repository is one repository of a registry: a [builder.Repository].
type Repository struct {
	client *Client
	repo   name.Repository

	authOnce sync.Mutex
	http     *http.Client

	// single is set once the registry has refused an upload in several PATCHes.
	single atomic.Bool

	mu      sync.Mutex
	present map[v1.Hash]bool
	// manifests are those that were put, by digest.
	manifests sync.Map
}

// Name is HOST/PATH.
func (r *Repository) Name() string { return r.repo.Name() }

// connect authenticates on the first use; the scopes cover pushing here and mounting from siblings.
func (r *Repository) connect(ctx context.Context, from ...string) (*http.Client, error) {
	r.authOnce.Lock()
	defer r.authOnce.Unlock()
	if r.http != nil && len(from) == 0 {
		return r.http, nil
	}
	auth, err := authn.Resolve(ctx, r.client.o.Keychain, r.repo)
	if err != nil {
		return nil, builder.Errorf(builder.Auth, loginHint(r.repo.RegistryStr()), "credentials for %s: %w", r.repo.RegistryStr(), err)
	}
	scopes := []string{r.repo.Scope(transport.PushScope)}
	for _, f := range from {
		sibling, err := name.NewRepository(f)
		if err != nil {
			return nil, err
		}
		scopes = append(scopes, sibling.Scope(transport.PullScope))
	}
	var rt http.RoundTripper
	err = r.client.retry(ctx, "reach "+r.repo.RegistryStr(), func() error {
		rt, err = transport.NewWithContext(ctx, r.repo.Registry, auth, r.client.o.Transport, scopes)
		return r.transportError(err)
	})
	if err != nil {
		return nil, err
	}
	c := &http.Client{Transport: rt}
	if len(from) == 0 {
		r.http = c
	}
	return c, nil
}

func (r *Repository) url(format string, args ...any) string {
	return fmt.Sprintf("%s://%s/v2/%s/", r.repo.Scheme(), r.repo.RegistryStr(), r.repo.RepositoryStr()) + fmt.Sprintf(format, args...)
}

func (r *Repository) knownPresent(h v1.Hash) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.present[h]
}

func (r *Repository) setPresent(h v1.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.present[h] = true
}

// back-off between attempts: full jitter below a bound that doubles.
const (
	firstWait = 250 * time.Millisecond
	mostWait  = 30 * time.Second
)
