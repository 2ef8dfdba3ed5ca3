package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/test/e2e/cluster"
)

const registry = cluster.Registry

// e2e is the one cluster of all tests.
var e2e struct {
	*cluster.Cluster
	a, b     *cluster.Node
	registry *cluster.CountingRegistry
	// missing says why there is none.
	missing string
}

func TestMain(m *testing.M) {
	dir, inside, err := cluster.Inside()
	flag.Parse()
	code := 1
	if err == nil && inside {
		code, err = runInside(m, dir)
	} else if err == nil {
		code, err = runOutside(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// runOutside makes the images, which takes the network, and has the tests run inside.
func runOutside(m *testing.M) (code int, err error) {
	switch err := cluster.Supported(); {
	case testing.Short():
		e2e.missing = "-short: runs a real cluster"
	case os.Getenv(cluster.Env) == "":
		e2e.missing = "needs a Kubernetes in " + cluster.Env + ": scripts/kubernetes.sh builds one"
	case err != nil:
		e2e.missing = err.Error()
	}
	if e2e.missing != "" {
		return m.Run(), nil // all are skipped, and say why
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := buildImages(ctx); err != nil {
		return 1, err
	}
	stop()
	return cluster.Enter()
}

func runInside(m *testing.M, dir string) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := setUp(ctx, dir); err != nil {
		if e2e.Cluster != nil {
			fmt.Fprintln(os.Stderr, e2e.Logs())
		}
		return 1, err
	}
	code = m.Run()
	if code != 0 {
		fmt.Fprintln(os.Stderr, e2e.Logs())
	}
	return code, e2e.Stop()
}

// setUp starts a cluster of two nodes, with Agones' types and somebody who plays Agones. The warmer is installed by the first test
// that needs it.
func setUp(ctx context.Context, dir string) (err error) {
	if e2e.Cluster, err = cluster.Start(ctx, dir, os.Getenv(cluster.Env), registry+"/pause:e2e"); err != nil {
		return err
	}
	if e2e.registry, err = cluster.Serve(ctx, registryDir); err != nil {
		return err
	}
	if err := apply(ctx, "testdata/arm64.yaml"); err != nil {
		return err
	}
	if e2e.a, err = e2e.AddNode(ctx, cluster.NodeOptions{Name: "node-a"}); err != nil {
		return err
	}
	if e2e.b, err = e2e.AddNode(ctx, cluster.NodeOptions{Name: "node-b", Arm64: true}); err != nil {
		return err
	}
	if err := apply(ctx, root+"/warmer/kube/kubetest/agones.yaml"); err != nil {
		return err
	}
	go playAgones(ctx) // until the program ends
	return nil
}

func apply(ctx context.Context, names ...string) error {
	for _, name := range names {
		if _, err := e2e.Kubectl(ctx, "apply", "-f", name); err != nil {
			return fmt.Errorf("apply %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// need skips a test where there is no cluster, and installs the warmer otherwise.
func need(t *testing.T) {
	t.Helper()
	if e2e.missing != "" {
		t.Skip(e2e.missing)
	}
	t.Cleanup(func() {
		if t.Failed() {
			report(t)
		}
	})
	install(t)
}

// report says how the cluster is.
func report(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "nodes,pods,warmsets,nodecaches", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.metadata.creationTimestamp"},
		{"logs", "-n", "pitcrew-system", "-l", "app.kubernetes.io/name=pitcrew-warmer", "--prefix", "--tail=30"},
	} {
		out, err := e2e.Kubectl(withoutCancel(t), args...)
		t.Logf("kubectl %v: %v\n%s", args, err, out[max(0, len(out)-6000):])
	}
}

// until waits for something that the cluster does.
func until(t testing.TB, what string, f func() error) {
	t.Helper()
	if err := cluster.Until(t.Context(), 2*time.Minute, what, f); err != nil {
		t.Fatal(err)
	}
}

func kubectl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := e2e.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withoutCancel is for what is done after a test.
func withoutCancel(t testing.TB) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}
