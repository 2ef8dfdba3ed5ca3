package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

// How long a secret that was read counts, as several layers' requests want it at once, and how long a read may take.
const (
	fresh       = time.Second
	readTimeout = 5 * time.Second
)

// PullSecrets gives the contents of the pull secrets of those WarmSets that apply to the node and have an image of the
// repository, which is without its registry. They are read one by one, when a registry wants to know who asks. What was read
// before counts while the API server is away, but not when it refuses. The error is about those that could not be read.
func (n *Node) PullSecrets(ctx context.Context, repository string) ([][]byte, error) {
	select {
	case <-n.synced:
	default:
		return nil, nil
	}
	v, err := n.view(ctx)
	if err != nil || v.node == nil {
		return nil, err
	}
	var found [][]byte
	var faults []error
	for _, name := range secretsFor(v.node, v.sets, repository) {
		raw, err := n.secrets.read(ctx, n.client, name)
		if raw != nil {
			found = append(found, raw)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("pull secret %s: %w", name, err))
		}
	}
	return found, errors.Join(faults...)
}

// secretsFor names those that may help with a repository.
func secretsFor(node *corev1.Node, sets []v1alpha1.WarmSet, repository string) []types.NamespacedName {
	var out []types.NamespacedName
	seen := map[types.NamespacedName]bool{}
	for i := range sets {
		s := &sets[i].Spec
		if chosen, err := decide.NodesOf(s); len(s.PullSecrets) == 0 || err != nil || !chosen.Match(node) || !has(s.Images, repository) {
			continue
		}
		for _, x := range s.PullSecrets {
			if name := (types.NamespacedName{Namespace: x.Namespace, Name: x.Name}); !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}

func has(images []v1alpha1.WantedImage, repository string) bool {
	for _, i := range images {
		ref, err := warmer.ParseReference(i.Ref)
		if err != nil {
			continue
		}
		if _, path, _ := strings.Cut(ref.Repository, "/"); path == repository {
			return true
		}
	}
	return false
}

// secrets are those that were read.
type secrets struct {
	mu  sync.Mutex
	had map[types.NamespacedName]secret
}

type secret struct {
	raw []byte
	at  time.Time
}

func (s *secrets) read(ctx context.Context, c client.Reader, name types.NamespacedName) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.had[name]
	if ok && time.Since(known.at) < fresh {
		return known.raw, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	x := &corev1.Secret{}
	err := c.Get(ctx, name, x)
	if err == nil && x.Type != corev1.SecretTypeDockerConfigJson {
		err = fmt.Errorf("its type is %q, which is not %s", x.Type, corev1.SecretTypeDockerConfigJson)
	}
	switch {
	case err == nil:
		s.had[name] = secret{x.Data[corev1.DockerConfigJsonKey], time.Now()}
		return x.Data[corev1.DockerConfigJsonKey], nil
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsUnauthorized(err), x.Type != "":
		delete(s.had, name)
		return nil, err
	}
	return known.raw, err
}
