package hosts_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/warmer/registry/hosts"
)

// files is a certs.d.
type files map[string]string

func (f files) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range f {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// urls shows where hosts are and what they may do.
func urls(all []hosts.Host) (s []string) {
	for _, h := range all {
		may := ""
		if h.Pull {
			may += " pull"
		}
		if h.Resolve {
			may += " resolve"
		}
		s = append(s, h.Scheme+"://"+h.Name+h.Path+may)
	}
	return s
}

func TestWhichHostsAreAsked(t *testing.T) {
	const both = " pull resolve"
	for _, test := range []struct {
		name, registry string
		plainHTTP      bool
		files          files
		want           []string
	}{
		{"nothing configured", "registry.test", false, nil, []string{"https://registry.test/v2" + both}},
		{"docker.io", "docker.io", false, nil, []string{"https://registry-1.docker.io/v2" + both}},
		{"plain http", "registry.test:5000", true, nil, []string{"http://registry.test:5000/v2" + both}},
		{"not for docker.io", "docker.io", true, nil, []string{"https://registry-1.docker.io/v2" + both}},
		{"loopback", "127.0.0.1:5000", false, nil, []string{"http://127.0.0.1:5000/v2" + both}},
		{"loopback's name", "localhost:5000", false, nil, []string{"http://localhost:5000/v2" + both}},
		{"loopback without a port", "localhost", false, nil, []string{"https://localhost/v2" + both}},
		{"loopback 443", "[::1]:443", false, nil, []string{"https://[::1]:443/v2" + both}},
		{
			"the documentation's mirrors", "docker.io", false,
			files{"docker.io/hosts.toml": `
server = "https://registry-1.docker.io"    # Exclude this to not use upstream

[host."https://public-mirror.example.com"]
  capabilities = ["pull"]                  # Requires less trust, won't resolve tag to digest from this host
[host."https://docker-mirror.internal"]
  capabilities = ["pull", "resolve"]
`},
			[]string{"https://public-mirror.example.com/v2 pull", "https://docker-mirror.internal/v2" + both, "https://registry-1.docker.io/v2" + both},
		},
		{"its simple example", "docker.io", false, files{"docker.io/hosts.toml": "server = \"https://docker.io\"\n[host.\"https://registry-1.docker.io\"]\n"}, []string{"https://registry-1.docker.io/v2" + both, "https://registry-1.docker.io/v2" + both}},
		{"_default", "registry.test", false, files{"_default/hosts.toml": `[host."https://mirror.test"]`}, []string{"https://mirror.test/v2" + both, "https://registry.test/v2" + both}},
		{"only the mirror", "registry.test", false, files{"_default/hosts.toml": `server = "https://mirror.test"`}, []string{"https://mirror.test/v2" + both}},
		{
			"HOST_PORT_ before HOST:PORT before _default", "registry.test:5000", false,
			files{"registry.test_5000_/hosts.toml": `server="a.test"`, "registry.test:5000/hosts.toml": `server="b.test"`, "_default/hosts.toml": `server="c.test"`},
			[]string{"https://a.test/v2" + both},
		},
		{"HOST:PORT", "registry.test:5000", false, files{"registry.test:5000/hosts.toml": `server="b.test"`, "_default/hosts.toml": `server="c.test"`}, []string{"https://b.test/v2" + both}},
		{"another port's entry", "registry.test:5000", false, files{"registry.test/hosts.toml": `server="b.test"`}, []string{"https://registry.test:5000/v2" + both}},
		{"an empty file", "registry.test", false, files{"registry.test/hosts.toml": ""}, []string{"https://registry.test/v2" + both}},
		{
			"paths", "registry.test", false,
			files{"registry.test/hosts.toml": `
server = "http://registry.test:8080/"
[host."https://a.test/us"]
[host."https://b.test/us/v2/"]
[host."https://c.test/v2/upstream"]
override_path = true
[host."https://d.test"]
override_path = true
[host."e.test:5000"]
`},
			[]string{"https://a.test/us/v2" + both, "https://b.test/us/v2" + both, "https://c.test/v2/upstream" + both, "https://d.test" + both, "https://e.test:5000/v2" + both, "http://registry.test:8080/v2" + both},
		},
		{
			"the order is the file's", "registry.test", false,
			files{"registry.test/hosts.toml": "[host.\"https://z.test\"]\n[host.\"https://a.test\"]\n[host.\"https://z.test\".header]\nx = \"1\"\n[host.\"https://m.test\"]\n"},
			[]string{"https://z.test/v2" + both, "https://a.test/v2" + both, "https://m.test/v2" + both, "https://registry.test/v2" + both},
		},
		{"push and referrers are of no use", "registry.test", false, files{"registry.test/hosts.toml": "capabilities=[\"Push\"]\nserver=\"https://a.test\"\n[host.\"https://b.test\"]\ncapabilities=[\"referrers\",\"PULL\"]"}, []string{"https://b.test/v2 pull", "https://a.test/v2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := ""
			if test.files != nil {
				dir = test.files.write(t)
			}
			got, err := hosts.Load(dir, test.registry, test.plainHTTP)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, urls(got)); diff != "" {
				t.Errorf("Load(%s): want - got +:\n%s", test.registry, diff)
			}
		})
	}
}

func TestWhatIsSaidOfAHost(t *testing.T) {
	yes := true
	dir := files{
		"registry.test/hosts.toml": `
[host."https://a.test"]
  ca = "a.pem"
  client = "both.pem"
  skip_verify = true
  dial_timeout = "1500ms"
  [host."https://a.test".header]
    x-one = "1"
    X-Two = ["a", "b"]
[host."https://b.test"]
  ca = ["a.pem", "sub/b.pem"]
  client = ["both.pem", "other.pem"]
[host."https://c.test"]
  client = [["node.cert", "node.key"], ["both.pem", ""]]
`,
		"registry.test/a.pem": "A", "registry.test/sub/b.pem": "B", "registry.test/both.pem": "BOTH", "registry.test/other.pem": "OTHER",
		"registry.test/node.cert": "CERT", "registry.test/node.key": "KEY",
	}.write(t)
	got, err := hosts.Load(dir, "registry.test", false)
	if err != nil {
		t.Fatal(err)
	}
	host := func(name string) hosts.Host {
		return hosts.Host{Scheme: "https", Name: name, Path: "/v2", Pull: true, Resolve: true}
	}
	a, b, c := host("a.test"), host("b.test"), host("c.test")
	a.CAs, a.Client, a.SkipVerify, a.DialTimeout = [][]byte{[]byte("A")}, []hosts.KeyPair{{Cert: []byte("BOTH"), Key: []byte("BOTH")}}, &yes, 1500*time.Millisecond
	a.Header = http.Header{"X-One": {"1"}, "X-Two": {"a", "b"}}
	b.CAs, b.Client = [][]byte{[]byte("A"), []byte("B")}, []hosts.KeyPair{{Cert: []byte("BOTH"), Key: []byte("BOTH")}, {Cert: []byte("OTHER"), Key: []byte("OTHER")}}
	c.Client = []hosts.KeyPair{{Cert: []byte("CERT"), Key: []byte("KEY")}, {Cert: []byte("BOTH"), Key: []byte("BOTH")}}
	if diff := cmp.Diff([]hosts.Host{a, b, c, host("registry.test")}, got); diff != "" {
		t.Errorf("Load: want - got +:\n%s", diff)
	}
	for _, h := range got[:3] {
		if !h.TLSConfigured() || !h.Mirrors("registry.test") {
			t.Errorf("%s: TLSConfigured() = %v, Mirrors() = %v, want both", h.Name, h.TLSConfigured(), h.Mirrors("registry.test"))
		}
	}
	if h := got[3]; h.TLSConfigured() || h.Mirrors("registry.test") {
		t.Errorf("%s: TLSConfigured() = %v, Mirrors() = %v, want neither", h.Name, h.TLSConfigured(), h.Mirrors("registry.test"))
	}
	if h := hosts.Default("docker.io", false); h.Mirrors("docker.io") {
		t.Error("Docker Hub's own host is said to be a mirror")
	}
}

func TestDockersCertificateFiles(t *testing.T) {
	dir := files{"registry.test/ca.crt": "CA", "registry.test/node.cert": "CERT", "registry.test/node.key": "KEY", "registry.test/one.cert": "ONE", "registry.test/README": "x"}.write(t)
	got, err := hosts.Load(dir, "registry.test", false)
	want := []hosts.Host{{
		Scheme: "https", Name: "registry.test", Path: "/v2", Pull: true, Resolve: true, CAs: [][]byte{[]byte("CA")},
		Client: []hosts.KeyPair{{Cert: []byte("CERT"), Key: []byte("KEY")}, {Cert: []byte("ONE"), Key: []byte("ONE")}},
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Load = %v; want - got +:\n%s", err, diff)
	}
}

func TestMistakesAreTold(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no TOML":            {"server = ", "hosts.toml"},
		"capability":         {`capabilities = ["pul"]`, `unknown capability "pul"`},
		"capabilities' type": {`capabilities = "pull"`, "hosts.toml"},
		"server":             {`server = "https://"`, "want http://HOST"},
		"server's scheme":    {`server = "httpx://a.test"`, "want http://HOST"},
		"server's password":  {`server = "https://a:b@a.test"`, "want http://HOST"},
		"host":               {`[host."https://a.test?x=1"]`, `host "https://a.test?x=1"`},
		"host's name":        {`[host.""]`, "a host without a name"},
		"host's URL":         {`[host."https://[::1"]`, "not a URL"},
		"ca":                 {`ca = 1`, "ca: want a string or a list"},
		"ca's file":          {`ca = "missing.pem"`, "missing.pem"},
		"client":             {`client = [1]`, "client: want a string or a list"},
		"client's pair":      {`client = [["a"]]`, "pairs of a certificate and a key"},
		"client's files":     {`client = [["a", 1]]`, "want strings"},
		"header":             {"[header]\nx = 1", "header x: want a string or a list"},
		"header's name":      {"[header]\n\"a b\" = \"x\"", `header "a b"`},
		"header's value":     {"[header]\nx = \"a\\r\\nb: c\"", `header "x"`},
		"dial_timeout":       {`dial_timeout = "soon"`, "want a duration"},
		"dotted hosts":       {`host."https://a.test".skip_verify = true`, `[host."https://mirror.example"]`},
		"too many hosts":     {manyHosts(33), "more than 32 hosts"},
		"too large":          {strings.Repeat("#", 1<<20+1), "more than 1048576 bytes"},
	} {
		dir := files{"registry.test/hosts.toml": test.text}.write(t)
		_, err := hosts.Load(dir, "registry.test", false)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Load = %v, want an error with %q", name, err, test.want)
		}
	}
	for _, registry := range []string{"", "..", "../x", "a/b", `a\b`, ".hidden"} {
		if got, err := hosts.Load("", registry, false); err == nil {
			t.Errorf("Load(%q) = %v, want an error", registry, got)
		}
	}
}

func manyHosts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[host.\"https://h%d.test\"]\n", i)
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "server = \"https://a.test\"", "[host.\"https://a.test\"]\ncapabilities=[\"pull\"]\n[host.\"https://a.test\".header]\nx=[\"1\"]",
		"ca=\"x\"\nclient=[[\"a\",\"b\"]]\nskip_verify=true\ndial_timeout=\"1s\"", "[[host]]", "[host]\na.b=1", "host=1", "[host.\"\"]", "[host.\"http://\\u0000\"]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := hosts.Parse(raw, "registry.test:5000", false, func(file string) ([]byte, error) {
			if strings.Contains(file, "missing") {
				return nil, fs.ErrNotExist
			}
			return []byte(file), nil
		})
		if err != nil {
			return
		}
		if len(got) == 0 || len(got) > 33 {
			t.Fatalf("Parse(%q) gave %d hosts", raw, len(got))
		}
		for _, h := range got {
			if h.Scheme != "https" && h.Scheme != "http" || h.Name == "" || strings.ContainsAny(h.Name, "/@?#") || strings.HasSuffix(h.Path, "/") {
				t.Errorf("Parse(%q) gave %+v", raw, h)
			}
			if _, err := http.NewRequest(http.MethodGet, h.Scheme+"://"+h.Name+"/", nil); err != nil {
				t.Errorf("Parse(%q) gave a host that cannot be asked: %v", raw, err)
			}
		}
	})
}
