package hosts

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	"golang.org/x/net/http/httpguts"
)

// file is a hosts.toml. What the top says is about the server.
type file struct {
	table
	Server string           `toml:"server"`
	Hosts  map[string]table `toml:"host"`
}

// table is what can be said of a host. What may be a string or a list is checked later.
type table struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`
	Client       any            `toml:"client"`
	SkipVerify   *bool          `toml:"skip_verify"`
	Header       map[string]any `toml:"header"`
	OverridePath bool           `toml:"override_path"`
	DialTimeout  string         `toml:"dial_timeout"`
}

// maxHosts bounds how many mirrors a file may list.
const maxHosts = 32

// Parse reads a hosts.toml about registry; read gives the files that it names. The result has at least one host.
func Parse(raw []byte, registry string, plainHTTP bool, read func(file string) ([]byte, error)) ([]Host, error) {
	var f file
	if err := toml.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("hosts.toml: %w", err)
	}
	names := order(raw)
	if len(names) != len(f.Hosts) {
		return nil, errors.New(`hosts.toml: write each mirror as a table, [host."https://mirror.example"]`)
	}
	if len(names) > maxHosts {
		return nil, fmt.Errorf("hosts.toml: more than %d hosts", maxHosts)
	}
	hosts := make([]Host, 0, len(names)+1)
	for _, name := range names {
		if name == "" {
			return nil, errors.New("hosts.toml: a host without a name")
		}
		h, err := f.Hosts[name].host(name, read)
		if err != nil {
			return nil, fmt.Errorf("host %q: %w", name, err)
		}
		hosts = append(hosts, h)
	}
	last, err := f.host(f.Server, read)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", f.Server, err)
	}
	if last.Name == "" {
		last = fillIn(last, registry, plainHTTP)
	}
	return append(hosts, last), nil
}

// order gives the hosts as the file lists them, which a map cannot.
func order(raw []byte) (names []string) {
	var p unstable.Parser
	p.Reset(raw)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.Table {
			continue
		}
		var key []string
		for it := e.Key(); it.Next(); {
			key = append(key, string(it.Node().Data))
		}
		if len(key) >= 2 && key[0] == "host" && !slices.Contains(names, key[1]) {
			names = append(names, key[1])
		}
	}
	return names
}

func (t table) host(server string, read func(string) ([]byte, error)) (Host, error) {
	h := Host{SkipVerify: t.SkipVerify}
	return h, errors.Join(
		h.setServer(server, t.OverridePath),
		h.setCapabilities(t.Capabilities),
		h.setCAs(t.CA, read),
		h.setClient(t.Client, read),
		h.setHeader(t.Header),
		h.setDialTimeout(t.DialTimeout),
	)
}

func (h *Host) setServer(server string, overridePath bool) error {
	if server == "" {
		return nil
	}
	if !strings.HasPrefix(server, "http") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return fmt.Errorf("not a URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("want http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]")
	}
	h.Scheme, h.Name = u.Scheme, u.Host
	if h.Name == dockerHub {
		h.Name = dockerHubHost
	}
	if u.Path != "" {
		h.Path = strings.TrimSuffix(path.Clean("/"+u.Path), "/")
	}
	if !overridePath && !strings.HasSuffix(h.Path, "/v2") {
		h.Path += "/v2"
	}
	return nil
}

func (h *Host) setCapabilities(words []string) error {
	h.Pull, h.Resolve = len(words) == 0, len(words) == 0
	for _, word := range words {
		switch strings.ToLower(word) {
		case "pull":
			h.Pull = true
		case "resolve":
			h.Resolve = true
		case "push", "referrers": // of no use here
		default:
			return fmt.Errorf("unknown capability %q", word)
		}
	}
	return nil
}

func (h *Host) setCAs(v any, read func(string) ([]byte, error)) error {
	files, err := stringsOf("ca", v)
	if err != nil {
		return err
	}
	for _, file := range files {
		pem, err := read(file)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		h.CAs = append(h.CAs, pem)
	}
	return nil
}

// setClient takes a file, a list of files, and a list of pairs of files.
func (h *Host) setClient(v any, read func(string) ([]byte, error)) error {
	list, ok := v.([]any)
	if !ok && v != nil {
		list = []any{v}
	}
	for _, one := range list {
		files, err := stringsOf("client", one)
		if err != nil {
			return err
		}
		if _, isList := one.([]any); isList && len(files) != 2 {
			return errors.New("client: want pairs of a certificate and a key")
		}
		pair, err := readPair(files, read)
		if err != nil {
			return err
		}
		h.Client = append(h.Client, pair)
	}
	return nil
}

func readPair(files []string, read func(string) ([]byte, error)) (KeyPair, error) {
	cert, err := read(files[0])
	if err != nil {
		return KeyPair{}, fmt.Errorf("client: %w", err)
	}
	if len(files) == 1 || files[1] == "" {
		return KeyPair{Cert: cert, Key: cert}, nil
	}
	key, err := read(files[1])
	if err != nil {
		return KeyPair{}, fmt.Errorf("client: %w", err)
	}
	return KeyPair{Cert: cert, Key: key}, nil
}

func (h *Host) setHeader(m map[string]any) error {
	for key, v := range m {
		values, err := stringsOf("header "+key, v)
		if err != nil {
			return err
		}
		if !httpguts.ValidHeaderFieldName(key) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return fmt.Errorf("header %q: not one that HTTP can carry", key)
		}
		if h.Header == nil {
			h.Header = http.Header{}
		}
		for _, value := range values {
			h.Header.Add(key, value)
		}
	}
	return nil
}

func (h *Host) setDialTimeout(s string) error {
	if s == "" {
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("dial_timeout %q: want a duration such as 1s", s)
	}
	h.DialTimeout = d
	return nil
}

// stringsOf takes a string and a list of strings.
func stringsOf(what string, v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		list := make([]string, len(v))
		for i, one := range v {
			s, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("%s: want strings, not %v", what, one)
			}
			list[i] = s
		}
		return list, nil
	default:
		return nil, fmt.Errorf("%s: want a string or a list of them, not %v", what, v)
	}
}
