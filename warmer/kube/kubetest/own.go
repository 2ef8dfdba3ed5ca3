package kubetest

import (
	"os"
	"testing"
)

// Own starts a server of the test's own, which ends with it: for tests that go on while others use the shared one.
func Own(t testing.TB) *Server {
	t.Helper()
	s, err := launch(binaries(t), (*Server).prepare)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// binaries is the folder with the programs; where there is none the test is skipped.
func binaries(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: runs a real kube-apiserver")
	}
	bin := os.Getenv(Env)
	if bin == "" {
		t.Skip("needs a kube-apiserver and an etcd in " + Env + ": scripts/kube-apiserver.sh builds them")
	}
	return bin
}
