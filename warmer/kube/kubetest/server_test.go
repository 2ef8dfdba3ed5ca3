package kubetest_test

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

func TestTheServerKeepsItsObjectsOverARestart(t *testing.T) {
	s := kubetest.Start(t)
	s.InstallAgones(t)
	s.Node(t, "n", nil)
	s.Kill()
	if err := s.List(t.Context(), &corev1.NodeList{}); err == nil {
		t.Fatal("List with a server that was killed: no error")
	}
	s.Restart(t)
	nodes := &corev1.NodeList{}
	if err := s.List(t.Context(), nodes); err != nil || len(nodes.Items) != 1 {
		t.Fatalf("List after a restart: %d nodes, %v; want 1", len(nodes.Items), err)
	}
}
