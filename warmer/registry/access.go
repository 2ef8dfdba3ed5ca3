package registry

import (
	"context"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Access is what a container runtime needs to know to reach the same registries in the same way. Of several credentials it
// gets the first; one that is only good for this client's own requests counts as none.
func (c *Client) Access() warmer.Access {
	return warmer.Access{HostsDir: c.o.HostsDir, PlainHTTP: c.o.PlainHTTP, Credentials: c.login}
}

func (c *Client) login(ctx context.Context, host, repository string) (user, secret string, err error) {
	found, err := c.o.Credentials.Find(ctx, host, repository)
	for _, cred := range found {
		switch {
		case cred.IdentityToken != "":
			return "", cred.IdentityToken, nil
		case cred.Username != "":
			return cred.Username, cred.Password, nil
		}
	}
	return "", "", err //nolint:wrapcheck // says which secret
}
