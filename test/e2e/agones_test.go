package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Agones is not to be had from the module proxy, so its part is played: Fleets become GameServerSets, GameServers and pods with
// the labels, the environment and the SDK server that Agones gives them. The SDK server is `sidecar dev-server`.

func agonesKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "agones.dev", Version: "v1", Kind: kind}
}

// playAgones looks at all Fleets, again and again.
func playAgones(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		if err := reconcileFleets(ctx); err != nil && ctx.Err() == nil && err.Error() != last {
			last = err.Error()
			fmt.Fprintln(os.Stderr, "agones:", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func reconcileFleets(ctx context.Context) error {
	fleets := &unstructured.UnstructuredList{}
	fleets.SetGroupVersionKind(agonesKind("Fleet"))
	if err := e2e.List(ctx, fleets); err != nil {
		return err
	}
	var failed []error
	for i := range fleets.Items {
		if fleets.Items[i].GetDeletionTimestamp() != nil {
			continue // what it owns goes first
		}
		failed = append(failed, reconcileFleet(ctx, &fleets.Items[i]))
	}
	return errors.Join(append(failed, reconcileServers(ctx))...)
}

// reconcileFleet makes its GameServerSet and as many GameServers as it wants.
func reconcileFleet(ctx context.Context, fleet *unstructured.Unstructured) error {
	template, _, err := unstructured.NestedMap(fleet.Object, "spec", "template", "spec")
	if err != nil {
		return err
	}
	wanted, _, err := unstructured.NestedInt64(fleet.Object, "spec", "replicas")
	if err != nil {
		return err
	}
	set := object("GameServerSet", fleet.GetNamespace(), fleet.GetName()+"-1", fleet)
	set.Object["spec"] = map[string]any{"replicas": wanted, "template": map[string]any{"spec": template}}
	set.Object["status"] = map[string]any{"replicas": wanted}
	if err := e2e.Create(ctx, set); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	servers, err := serversOf(ctx, fleet)
	if err != nil {
		return err
	}
	for range wanted - int64(len(servers)) {
		server := object("GameServer", fleet.GetNamespace(), fmt.Sprintf("%s-1-%05x", fleet.GetName(), rand.N(1<<20)), fleet)
		server.Object["spec"] = runtime.DeepCopyJSON(template)
		if err := e2e.Create(ctx, server); err != nil {
			return err
		}
	}
	for _, surplus := range servers[:max(0, len(servers)-int(wanted))] {
		if err := client.IgnoreNotFound(e2e.Delete(ctx, &surplus)); err != nil {
			return err
		}
	}
	return nil
}

// object is an object of a Fleet, which goes with it.
func object(kind, namespace, name string, fleet *unstructured.Unstructured) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(agonesKind(kind))
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetLabels(map[string]string{"agones.dev/fleet": fleet.GetName(), "agones.dev/gameserverset": fleet.GetName() + "-1"})
	o.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(fleet, fleet.GroupVersionKind())})
	return o
}

func serversOf(ctx context.Context, fleet *unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	servers := &unstructured.UnstructuredList{}
	servers.SetGroupVersionKind(agonesKind("GameServer"))
	err := e2e.List(ctx, servers, client.InNamespace(fleet.GetNamespace()), client.MatchingLabels{"agones.dev/fleet": fleet.GetName()})
	servers.Items = slices.DeleteFunc(servers.Items, func(s unstructured.Unstructured) bool { return s.GetDeletionTimestamp() != nil })
	return servers.Items, err
}

// reconcileServers gives GameServers their pods, says where they run, and ends those whose pods are over.
func reconcileServers(ctx context.Context) error {
	servers := &unstructured.UnstructuredList{}
	servers.SetGroupVersionKind(agonesKind("GameServer"))
	if err := e2e.List(ctx, servers); err != nil {
		return err
	}
	var failed []error
	for i := range servers.Items {
		failed = append(failed, reconcileServer(ctx, &servers.Items[i]))
	}
	return errors.Join(failed...)
}

func reconcileServer(ctx context.Context, server *unstructured.Unstructured) error {
	pod := &corev1.Pod{}
	err := e2e.Get(ctx, client.ObjectKeyFromObject(server), pod)
	state, _, _ := unstructured.NestedString(server.Object, "status", "state") // none yet
	switch {
	case server.GetDeletionTimestamp() != nil:
		return nil
	case apierrors.IsNotFound(err) && state == "":
		if pod, err = podOf(server); err == nil {
			err = e2e.Create(ctx, pod)
		}
		return err
	case apierrors.IsNotFound(err): // it was deleted
		return client.IgnoreNotFound(e2e.Delete(ctx, server))
	case err != nil:
		return err
	}
	if pod.Spec.NodeName == "" {
		return nil
	}
	status := statusOf(ctx, pod)
	if before, _, _ := unstructured.NestedMap(server.Object, "status"); reflect.DeepEqual(before, status) { // none yet
		return nil
	}
	server.Object["status"] = status
	err = e2e.Update(ctx, server)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // somebody else was faster: next time
	}
	return err
}

// statusOf is what the SDK server would have written of a pod. Ours listens on the pod's loopback, but where our sidecar is in the
// pod, that says on the pod's address what it has told the SDK server.
func statusOf(ctx context.Context, pod *corev1.Pod) map[string]any {
	status := map[string]any{"state": "Scheduled", "nodeName": pod.Spec.NodeName}
	if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }) {
		status["state"] = "Ready"
	}
	if len(pod.Spec.InitContainers) == 1 || pod.Status.PodIP == "" {
		return status
	}
	s, err := asked(ctx, pod)
	if err != nil || s.AgonesState == "" {
		return status // not yet, or no longer
	}
	players := make([]any, s.Players)
	for i := range players {
		players[i] = fmt.Sprintf("p-%d", i+1)
	}
	status["state"], status["lists"] = s.AgonesState, map[string]any{"players": map[string]any{"values": players}}
	return status
}

// podOf is the pod that Agones would make.
func podOf(server *unstructured.Unstructured) (*corev1.Pod, error) {
	template, _, err := unstructured.NestedMap(server.Object, "spec", "template")
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, pod); err != nil {
		return nil, err
	}
	labels := map[string]string{"agones.dev/role": "gameserver", "agones.dev/gameserver": server.GetName(), "agones.dev/safe-to-evict": "false"}
	maps.Copy(labels, pod.Labels)
	maps.Copy(labels, server.GetLabels())
	pod.ObjectMeta = metav1.ObjectMeta{
		Namespace: server.GetNamespace(), Name: server.GetName(), Labels: labels, Annotations: pod.Annotations,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(server, server.GroupVersionKind())},
	}
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	sdk := corev1.Container{
		Name: "agones-gameserver-sidecar", Image: registry + "/sidecar:e2e", Args: []string{"dev-server"},
		RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
	}
	pod.Spec.InitContainers = append([]corev1.Container{sdk}, pod.Spec.InitContainers...)
	env := []corev1.EnvVar{{Name: "AGONES_SDK_GRPC_PORT", Value: "9357"}, {Name: "AGONES_SDK_HTTP_PORT", Value: "9358"}}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers[1:], pod.Spec.Containers} {
		for i := range containers {
			containers[i].Env = append(containers[i].Env, env...)
		}
	}
	return pod, nil
}
