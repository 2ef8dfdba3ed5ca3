package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// temporary marks a failure that may pass, with the wait that the registry asked for.
type temporary struct {
	err  error
	wait time.Duration
}

func (t *temporary) Error() string { return t.err.Error() }
func (t *temporary) Unwrap() error { return t.err }

// retry repeats what fails for a reason that may pass. The last failure becomes a Transient error.
func (c *Client) retry(ctx context.Context, what string, try func() error) error {
	bound := firstWait
	for attempt := 0; ; attempt++ {
		err := try()
		t, again := errors.AsType[*temporary](err)
		if !again || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if attempt >= c.o.Retries {
			return builder.Errorf(builder.Transient, "try again later; what was sent is kept by the registry", "%s: gave up after %d attempts: %w", what, attempt+1, t.err)
		}
		wait := max(t.wait, rand.N(bound))
		bound = min(2*bound, mostWait)
		c.o.Log.Warn("trying again", "what", what, "wait", wait, "err", t.err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// maxErrorBody bounds what is read of a registry's complaint.
const maxErrorBody = 8 << 10

// statusError turns an unexpected answer into the error that fits it.
func (r *Repository) statusError(what string, resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // the status is what matters
	err := errors.New(what + ": " + resp.Status + complaint(body))
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return builder.Errorf(builder.Auth, loginHint(r.repo.RegistryStr()), "%s: %w", r.Name(), err)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		return &temporary{err: err, wait: retryAfter(resp.Header.Get("Retry-After"))}
	case resp.StatusCode == http.StatusNotFound:
		return builder.Errorf(builder.Config, createHint(r.repo.RegistryStr(), r.repo.RepositoryStr()), "%s: %w: %w", r.Name(), builder.ErrNotFound, err)
	default:
		return builder.Errorf(builder.Transient, "", "%s: %w", r.Name(), err)
	}
}

// complaint is the registry's own error codes and messages, without control characters.
func complaint(body []byte) string {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(body, &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	s := ": " + e.Errors[0].Code + ": " + e.Errors[0].Message
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, s)
}

// transportError classifies what go-containerregistry or the network say.
func (r *Repository) transportError(err error) error {
	if err == nil {
		return nil
	}
	if t, ok := errors.AsType[*transport.Error](err); ok {
		switch {
		case t.StatusCode == http.StatusUnauthorized, t.StatusCode == http.StatusForbidden:
			return builder.Errorf(builder.Auth, loginHint(r.repo.RegistryStr()), "%s: %w", r.Name(), err)
		case t.StatusCode != http.StatusTooManyRequests && t.StatusCode < 500:
			return builder.Errorf(builder.Transient, "", "%s: %w", r.Name(), err)
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &temporary{err: err}
}

func retryAfter(v string) time.Duration {
	const most = time.Minute
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return min(time.Duration(s)*time.Second, most)
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, min(time.Until(at), most))
	}
	return 0
}

func loginHint(host string) string {
	if isECR(host) {
		return "check the AWS credentials and that they allow ecr:GetAuthorizationToken and pushing"
	}
	return "docker login " + host + " (or podman login, or set DOCKER_CONFIG)"
}

func createHint(host, path string) string {
	if isECR(host) {
		return "aws ecr create-repository --repository-name " + path
	}
	return ""
}

func isECR(host string) bool {
	return strings.Contains(host, ".dkr.ecr.") && strings.HasSuffix(strings.TrimSuffix(host, ".cn"), ".amazonaws.com")
}
