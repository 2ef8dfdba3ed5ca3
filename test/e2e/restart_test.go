package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/test/e2e/cluster"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
)

var errNotYet = errors.New("not yet")

// A node loses its power in the midst of its work: its agent comes back, all that was warm still is, and nothing is fetched again.
func TestANodeIsKilledAndComesBack(t *testing.T) {
	need(t)
	fleet(t, "power", "node-a", "arena-warm", 0, "")
	if _, err := program(t, "warmer", "gate", "fleet/power", "-n", "default", "--timeout", "2m"); err != nil {
		t.Fatal(err)
	}
	before := agentOn(t, e2e.a)
	e2e.registry.Reset()
	if err := e2e.a.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := e2e.a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "agent of node-a", func() error {
		pod := agentOn(t, e2e.a)
		if restarts(pod) <= restarts(before) {
			return fmt.Errorf("it has not started again: %v", pod.Status.ContainerStatuses)
		}
		s, err := askAgent(t.Context(), pod)
		if err != nil {
			return err
		}
		for _, i := range s.Images {
			if i.State != agent.Warm {
				return fmt.Errorf("%s is %s", i.Ref, i.State)
			}
		}
		if !s.Observed || len(s.Images) < 2 {
			return fmt.Errorf("it looked: %t, %d images", s.Observed, len(s.Images))
		}
		return nil
	})
	scale(t, "power", 1)
	readyPod(t, "power")
	if n := e2e.registry.Bytes(e2e.a); n != 0 {
		t.Errorf("%d bytes were fetched again: %v", n, e2e.registry.Served(e2e.a))
	}
}

// agentOn is the agent's pod on a node.
func agentOn(t *testing.T, n *cluster.Node) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	until(t, "agent's pod on "+n.Name, func() error {
		pods := &corev1.PodList{}
		if err := e2e.List(t.Context(), pods, client.InNamespace("pitcrew-system"), agentLabels); err != nil {
			return err
		}
		for i := range pods.Items {
			if pods.Items[i].Spec.NodeName == n.Name && pods.Items[i].DeletionTimestamp == nil {
				found = &pods.Items[i]
				return nil
			}
		}
		return errNotYet
	})
	return found
}

func restarts(pod *corev1.Pod) int32 {
	if len(pod.Status.ContainerStatuses) == 0 {
		return 0
	}
	return pod.Status.ContainerStatuses[0].RestartCount
}

// askAgent is what the agent itself says.
func askAgent(ctx context.Context, pod *corev1.Pod) (s agent.Status, err error) {
	return s, get(ctx, pod, "9095/status", &s)
}

// get asks a pod over HTTP for JSON.
func get(ctx context.Context, pod *corev1.Pod, address string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+pod.Status.PodIP+":"+address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}
