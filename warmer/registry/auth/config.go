package auth

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Credential is what proves to a registry who asks; which fields are set says how. The zero Credential is nobody.
type Credential struct {
	Username, Password string
	// IdentityToken is exchanged for tokens at the token server.
	IdentityToken string
	// RegistryToken is sent to the registry as it is.
	RegistryToken string
}

// Config is a docker config.json, or what a secret of type kubernetes.io/dockerconfigjson holds.
type Config struct {
	entries []entry
	helpers map[string]string
	store   string
}

// entry is a credential and what it is for.
type entry struct {
	host, path string // host may have wildcards
	cred       Credential
}

// maxConfig is what Kubernetes allows a secret to be.
const maxConfig = 1 << 20

// ParseConfig reads a config.
func ParseConfig(raw []byte) (*Config, error) {
	if len(raw) > maxConfig {
		return nil, fmt.Errorf("docker config: more than %d bytes", maxConfig)
	}
	var f struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			Username      string `json:"username"`
			Password      string `json:"password"`
			IdentityToken string `json:"identitytoken"`
			RegistryToken string `json:"registrytoken"`
		} `json:"auths"`
		CredHelpers map[string]string `json:"credHelpers"`
		CredsStore  string            `json:"credsStore"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("docker config: %w", hideContent(err))
	}
	c := &Config{helpers: f.CredHelpers, store: f.CredsStore}
	for key, a := range f.Auths {
		e := entry{cred: Credential{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}}
		e.host, e.path = splitKey(key)
		if a.Auth != "" {
			user, password, err := decode(a.Auth)
			if err != nil {
				return nil, fmt.Errorf("docker config: auth of %q: %w", key, err)
			}
			e.cred.Username, e.cred.Password = user, password
		}
		if e.cred != (Credential{}) {
			c.entries = append(c.entries, e)
		}
	}
	slices.SortFunc(c.entries, moreSpecific)
	return c, nil
}

// hideContent keeps what json quotes of its input out of logs: it may be a password.
func hideContent(err error) error {
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return errors.New("a value has the wrong type")
	}
	return err
}

func decode(auth string) (user, password string, err error) {
	raw, err := base64.StdEncoding.DecodeString(auth)
	if err != nil {
		return "", "", errors.New("not base64")
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return "", "", errors.New("not USER:PASSWORD in base64")
	}
	return user, strings.Trim(password, "\x00"), nil
}

// splitKey takes what docker login and people write: HOST, HOST/PATH, https://HOST/v1/.
func splitKey(key string) (host, path string) {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, path, _ = strings.Cut(key, "/")
	path = strings.Trim(path, "/")
	for _, api := range []string{"v1", "v2"} {
		if path == api || strings.HasPrefix(path, api+"/") {
			path = strings.TrimPrefix(path[len(api):], "/")
			break
		}
	}
	return canonical(host), path
}

// canonical gives Docker Hub one name.
func canonical(host string) string {
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	default:
		return host
	}
}

// moreSpecific orders entries so that the first that matches is meant, as kubelet does: longer paths first, names before
// patterns.
func moreSpecific(a, b entry) int {
	return cmp.Or(
		cmp.Compare(len(b.path), len(a.path)),
		cmp.Compare(strings.Count(a.host, "*"), strings.Count(b.host, "*")),
		cmp.Compare(len(b.host), len(a.host)),
		cmp.Compare(a.host, b.host),
		cmp.Compare(a.path, b.path),
	)
}

// Find gives the credentials that are stored for a repository of a registry, the most specific first.
func (c *Config) Find(registry, repository string) (found []Credential) {
	for _, e := range c.entries {
		if e.matches(canonical(registry), repository) {
			found = append(found, e.cred)
		}
	}
	return found
}

// matches takes wildcards within a label of the host name, like kubelet: *.dkr.ecr.*.amazonaws.com.
func (e entry) matches(registry, repository string) bool {
	if e.path != "" && repository != e.path && !strings.HasPrefix(repository, e.path+"/") {
		return false
	}
	if e.host == registry {
		return true
	}
	want, got := strings.Split(e.host, "."), strings.Split(registry, ".")
	if len(want) != len(got) || !strings.Contains(e.host, "*") {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], got[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
