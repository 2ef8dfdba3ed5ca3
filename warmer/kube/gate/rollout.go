package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
)

var (
	// ErrContainer is matched when it is not clear which container an image is for.
	ErrContainer = errors.New("which container")
	// ErrNotRolledOut is matched when a Fleet was changed, and its servers did not follow in time.
	ErrNotRolledOut = errors.New("not rolled out")
)

// Rollout is how far a Fleet's servers follow its image.
type Rollout struct {
	Container string `json:"container"`
	// Servers are those of the version with the image, of which so many are Ready, Reserved or Allocated.
	Servers int32 `json:"servers"`
	Up      int32 `json:"up"`
	// Old are servers of other versions that are to go, Spared those with players, which stay until these have left.
	Old     int32  `json:"old"`
	Spared  int32  `json:"spared"`
	Message string `json:"message,omitempty"`
	Done    bool   `json:"done"`
}

// place is a container of a Fleet's template.
type place struct {
	list string // "containers" or "initContainers"
	at   int
	name string
	ref  string
}

func places(pod *corev1.PodSpec) []place {
	var out []place
	for list, containers := range map[string][]corev1.Container{"containers": pod.Containers, "initContainers": pod.InitContainers} {
		for i := range containers {
			out = append(out, place{list, i, containers[i].Name, containers[i].Image})
		}
	}
	slices.SortFunc(out, func(a, b place) int { return strings.Compare(a.name, b.name) })
	return out
}

// target is the container that an image is for. The error matches [ErrContainer].
func target(f *agones.Fleet, image, container string) (place, error) {
	all := places(&f.Spec.Template.Spec.Template.Spec)
	found := slices.DeleteFunc(slices.Clone(all), func(p place) bool {
		if container != "" {
			return p.name != container
		}
		return repository(p.ref) != repository(image)
	})
	if len(found) == 1 {
		return found[0], nil
	}
	var have []string
	for _, p := range all {
		have = append(have, p.name+" ("+p.ref+")")
	}
	listed := strings.Join(have, ", ")
	switch {
	case container != "":
		return place{}, fmt.Errorf("fleet %s/%s has no container %q, but %s: %w", f.Namespace, f.Name, container, listed, ErrContainer)
	case len(found) == 0:
		return place{}, fmt.Errorf("no container of fleet %s/%s has an image of %s: name one of %s: %w", f.Namespace, f.Name, repository(image), listed, ErrContainer)
	}
	return place{}, fmt.Errorf("%d containers of fleet %s/%s have an image of %s: name one of %s: %w", len(found), f.Namespace, f.Name, repository(image), listed, ErrContainer)
}

// Target says which container [Gate.Roll] would change.
func (g *Gate) Target(ctx context.Context) (string, error) {
	f, err := g.fleet(ctx)
	if err != nil {
		return "", err
	}
	p, err := target(f, g.Image, g.Container)
	return p.name, err
}

// Roll has the Fleet's container run Image, takes it out of what is announced, and waits until the servers have followed:
// those of the new version are up, and of others there are none but those with players. tell is told whenever something
// changes. When ctx ends the error matches [ErrNotRolledOut]; the Fleet stays changed.
func (g *Gate) Roll(ctx context.Context, tell func(Rollout)) error {
	container, err := g.change(ctx)
	if err != nil {
		return fmt.Errorf("change fleet %s/%s to %s: %w", g.Namespace, g.Name, g.Image, err)
	}
	tick := time.NewTicker(g.Every)
	defer tick.Stop()
	var last Rollout
	for first := true; ; first = false {
		r, err := g.servers(ctx, container)
		switch {
		case errors.Is(err, ErrNotRolledOut), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return err
		case err != nil && ctx.Err() == nil: // it is waited for
			r = last
			r.Message = err.Error()
		case err != nil:
			r = last
		}
		if first || r != last {
			tell(r)
		}
		if last = r; r.Done {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("fleet %s/%s was changed to %s, but %s: %w", g.Namespace, g.Name, g.Image, last.Message, ErrNotRolledOut)
		}
	}
}

func (g *Gate) change(ctx context.Context) (container string, err error) {
	err = g.edit(ctx, func(f *agones.Fleet) ([]operation, error) {
		p, err := target(f, g.Image, g.Container)
		if err != nil {
			return nil, err
		}
		container = p.name
		out := announcement(f, others(f, g.Image))
		if p.ref != g.Image {
			path := fmt.Sprintf("/spec/template/spec/template/spec/%s/%d/", p.list, p.at)
			out = append(out, operation{"test", path + "name", p.name}, operation{"test", path + "image", p.ref}, operation{"replace", path + "image", g.Image})
		}
		return out, nil
	})
	return container, err
}

func (g *Gate) servers(ctx context.Context, container string) (Rollout, error) {
	f, err := g.fleet(ctx)
	if errors.Is(err, ErrNoTarget) {
		return Rollout{}, fmt.Errorf("fleet %s/%s is gone: %w", g.Namespace, g.Name, ErrNotRolledOut)
	} else if err != nil {
		return Rollout{}, err
	}
	p, err := target(f, "", container)
	switch {
	case err != nil: // which is not what the caller asked for
		return Rollout{}, fmt.Errorf("%s: %w", err.Error(), ErrNotRolledOut)
	case p.ref != g.Image:
		return Rollout{}, fmt.Errorf("fleet %s/%s was changed to %s by somebody else: %w", g.Namespace, g.Name, p.ref, ErrNotRolledOut)
	}
	sets := &agones.GameServerSetList{}
	if err := g.Client.List(ctx, sets, client.InNamespace(g.Namespace), client.MatchingLabels{agones.FleetLabel: g.Name}); err != nil {
		return Rollout{}, err
	}
	return Follow(f, sets.Items, container), nil
}

// Follow says how far a Fleet's servers are, by its GameServerSets: those of the newest with the image that the Fleet has for
// a container are new.
func Follow(f *agones.Fleet, sets []agones.GameServerSet, container string) Rollout {
	out := Rollout{Container: container}
	want, err := target(f, "", container)
	if err != nil {
		out.Message = err.Error()
		return out
	}
	var next *agones.GameServerSet
	for i := range sets {
		s := &sets[i]
		is := slices.ContainsFunc(places(&s.Spec.Template.Spec.Template.Spec), func(p place) bool { return p.name == container && p.ref == want.ref })
		if is && (next == nil || next.CreationTimestamp.Before(&s.CreationTimestamp)) {
			next = s
		}
	}
	for i := range sets {
		if s := &sets[i]; s != next {
			out.Spared += s.Status.Spared()
			out.Old += max(0, s.Status.Replicas-s.Status.Spared())
		}
	}
	if next == nil {
		out.Message = "there is no GameServerSet of the new version yet"
		return out
	}
	out.Servers, out.Up = next.Spec.Replicas, next.Status.ReadyReplicas+next.Status.Spared()
	out.Message = fmt.Sprintf("%d of %d new servers are up, %d old ones are left, and %d with players", out.Up, out.Servers, out.Old, out.Spared)
	out.Done = out.Up >= out.Servers && out.Old == 0 && out.Servers+out.Spared >= f.Spec.Replicas
	return out
}
