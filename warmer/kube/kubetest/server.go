package kubetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/scheme"
)

// Env names the folder with kube-apiserver and etcd.
const Env = "KUBE_BINARIES"

// Server is a running API server.
type Server struct {
	// Client is an administrator's.
	client.Client

	dir, bin  string
	port      int
	authority []byte
	etcd, api *process
}

// program is a server of this test's program.
type program struct {
	sync.Once
	server *Server
	err    error
}

var shared, bare program

// Main runs a package's tests, ends the servers that they started, and returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	for _, p := range []*program{&shared, &bare} {
		if p.server != nil {
			p.server.stop()
		}
	}
	return code
}

// Start is the server of this test's program, without objects of earlier tests. It skips the test if there are no binaries.
func Start(t testing.TB) *Server {
	t.Helper()
	return shared.start(t, (*Server).prepare)
}

// StartBare is another one, which has nothing of this module: no CRDs, roles and policies. What a test makes there it
// removes, too.
func StartBare(t testing.TB) *Server {
	t.Helper()
	return bare.start(t, func(*Server, context.Context) error { return nil })
}

func (p *program) start(t testing.TB, prepare func(*Server, context.Context) error) *Server {
	t.Helper()
	bin := binaries(t)
	p.Do(func() { p.server, p.err = launch(bin, prepare) })
	if p.err != nil {
		t.Fatal(p.err)
	}
	t.Cleanup(func() { p.server.empty(t) })
	return p.server
}

func launch(bin string, prepare func(*Server, context.Context) error) (*Server, error) {
	dir, err := os.MkdirTemp("", "kube-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin}
	err = s.boot()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err = prepare(s, ctx)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// prepare brings what this module brings into a cluster.
func (s *Server) prepare(ctx context.Context) error {
	if err := s.install(ctx, ours); err != nil {
		return err
	}
	return s.permit(ctx)
}

func (s *Server) boot() error {
	key, certificate, err := keyPair()
	if err != nil {
		return err
	}
	s.authority = certificate
	for name, content := range map[string][]byte{"key": key, "crt": certificate, "tokens": []byte("admin,admin,admin,system:masters\n")} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			return err
		}
	}
	if s.port, err = freePort(); err != nil {
		return err
	}
	socket := "unix://" + s.dir + "/etcd"
	s.etcd, err = start(s.dir, filepath.Join(s.bin, "etcd"), "--data-dir", "data", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls", socket, "--advertise-client-urls", socket, "--listen-peer-urls", socket+"-peer",
		"--initial-advertise-peer-urls", socket+"-peer", "--initial-cluster", "default="+socket+"-peer")
	if err != nil {
		return err
	}
	if err := s.serve(); err != nil {
		return err
	}
	s.Client, err = client.New(s.Config(), client.Options{Scheme: scheme.New()})
	return err
}

// serve starts the API server and waits until it is ready.
func (s *Server) serve() error {
	var err error
	s.api, err = start(s.dir, filepath.Join(s.bin, "kube-apiserver"), "--etcd-servers", "unix://"+s.dir+"/etcd",
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port", strconv.Itoa(s.port),
		"--tls-cert-file=crt", "--tls-private-key-file=key", "--cert-dir=certs", "--token-auth-file=tokens", "--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=key", "--service-account-signing-key-file=key",
		"--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none", "--profiling=false", "--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000")
	if err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); ; {
		if _, err := s.get(context.Background(), "/readyz"); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.etcd.ended:
			return errors.New("etcd ended: " + s.etcd.tail())
		case <-s.api.ended:
			return errors.New("kube-apiserver ended: " + s.api.tail())
		case <-deadline:
			return errors.New("kube-apiserver is not ready: " + s.api.tail())
		}
	}
}

func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) stop() {
	s.api.kill()
	s.etcd.kill()
	_ = os.RemoveAll(s.dir) // a temporary folder
}

// Config connects an administrator.
func (s *Server) Config() *rest.Config {
	return &rest.Config{
		Host: fmt.Sprintf("https://127.0.0.1:%d", s.port), BearerToken: "admin", QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.authority},
	}
}

// As connects whoever has a token.
func (s *Server) As(token string) *rest.Config {
	c := s.Config()
	c.BearerToken = token
	return c
}

// Metrics is the API server's page of them.
func (s *Server) Metrics(ctx context.Context) ([]byte, error) { return s.get(ctx, "/metrics") }

// get reads a page over a connection of its own.
func (s *Server) get(ctx context.Context, path string) ([]byte, error) {
	config := s.Config()
	config.Timeout = 5 * time.Second
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	defer web.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := web.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", path, resp.StatusCode)
	}
	return io.ReadAll(resp.Body)
}

// Kill ends the API server; etcd keeps its objects.
func (s *Server) Kill() { s.api.kill() }

// Restart starts it again on the same port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.serve(); err != nil {
		t.Fatal(err)
	}
}

// Kubeconfig writes one for somebody's connection and returns its name.
func (s *Server) Kubeconfig(t testing.TB, c *rest.Config) string {
	t.Helper()
	k := api.NewConfig()
	k.Clusters["c"] = &api.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	k.AuthInfos["u"] = &api.AuthInfo{Token: c.BearerToken}
	k.Contexts["x"] = &api.Context{Cluster: "c", AuthInfo: "u"}
	k.CurrentContext = "x"
	name := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*k, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// M runs a package's tests as [Main] does, for what takes a [testing.M].
type M struct{ *testing.M }

// Run runs them and returns the exit code.
func (m M) Run() int { return Main(m.M) }
