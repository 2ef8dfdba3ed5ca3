package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

var (
	// ErrNotWarm is matched when time was up.
	ErrNotWarm = errors.New("not warm")
	// ErrNoTarget is matched when there is nothing to wait for: no such Fleet or WarmSet, or a Fleet that is not warmed.
	ErrNoTarget = errors.New("nothing to wait for")
)

// Gate waits for one Fleet or WarmSet.
type Gate struct {
	Client client.Client
	// Fleet says that Name is a Fleet's in Namespace, not a WarmSet's.
	Fleet           bool
	Namespace, Name string
	// Image has to be warm; empty means all that the Fleet has and announces, or all of the WarmSet.
	Image string
	// Announce writes Image into the Fleet's annotation first.
	Announce bool
	// Container is the one that [Gate.Roll] changes; empty means the one whose image is of the same repository.
	Container string
	// Percent of the nodes have to be warm.
	Percent int
	// Empty lets a set pass that no node matches, as where nodes are added when they are needed.
	Empty bool
	// Every is how often to look.
	Every time.Duration
	// Progress is told whenever it changes; it may be nil.
	Progress func(Progress)
}

// ParseTarget reads fleet/NAME or warmset/NAME.
func ParseTarget(s string) (fleet bool, name string, err error) {
	kind, name, ok := strings.Cut(s, "/")
	if ok && name != "" && !strings.Contains(name, "/") {
		switch kind {
		case "fleet", "fleets":
			return true, name, nil
		case "warmset", "warmsets", "ws":
			return false, name, nil
		}
	}
	return false, "", fmt.Errorf("%q: write fleet/NAME or warmset/NAME", s)
}

// Progress is how far the nodes are, over the images that count: the least of each.
type Progress struct {
	Desired        int32 `json:"desired"`
	Warm           int32 `json:"warm"`
	Failed         int32 `json:"failed"`
	BytesRemaining int64 `json:"bytesRemaining"`
	// ETASeconds is how long fetching will still take, for all of the WarmSet; 0 if nobody can tell.
	ETASeconds int64  `json:"etaSeconds,omitempty"`
	Message    string `json:"message,omitempty"`
	// Done says that enough nodes are warm.
	Done bool `json:"done"`
}

// Wait returns nil when enough nodes are warm. When ctx ends the error matches [ErrNotWarm], unless there was nothing to
// wait for. An API server that is away is waited for.
func (g *Gate) Wait(ctx context.Context) error {
	if g.Announce {
		if err := g.announce(ctx); err != nil {
			return err
		}
	}
	var last Progress
	for first := true; ; first = false {
		p, err := g.look(ctx)
		switch {
		case errors.Is(err, ErrNoTarget), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return err
		case err != nil && ctx.Err() != nil:
			p = last
		case err != nil:
			p = last
			p.Message = err.Error()
		case p.Done:
			g.tell(p)
			return nil
		}
		if first || p != last {
			g.tell(p)
		}
		last = p
		select {
		case <-time.After(g.Every):
		case <-ctx.Done():
			return fmt.Errorf("%s: %d of %d nodes, %s: %w", g.Name, last.Warm, last.Desired, last.Message, ErrNotWarm)
		}
	}
}

func (g *Gate) tell(p Progress) {
	if g.Progress != nil {
		g.Progress(p)
	}
}

// announce adds the image to those that the Fleet's annotation names, in place of another one of its repository.
func (g *Gate) announce(ctx context.Context) error {
	err := g.edit(ctx, func(f *agones.Fleet) ([]operation, error) {
		if slices.Contains(decide.Announced(f), g.Image) || slices.Contains(decide.Current(f), g.Image) {
			return nil, nil
		}
		return announcement(f, append(others(f, g.Image), g.Image)), nil
	})
	if err != nil {
		return fmt.Errorf("announce %s: %w", g.Image, err)
	}
	return nil
}

// others are those announced that are of other repositories.
func others(f *agones.Fleet, image string) []string {
	return slices.DeleteFunc(decide.Announced(f), func(a string) bool { return repository(a) == repository(image) })
}

func repository(image string) string {
	ref, err := warmer.ParseReference(image)
	if err != nil {
		return image
	}
	return ref.Repository
}

func (g *Gate) fleet(ctx context.Context) (*agones.Fleet, error) {
	f := &agones.Fleet{}
	err := g.Client.Get(ctx, types.NamespacedName{Namespace: g.Namespace, Name: g.Name}, f)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("fleet %s/%s: %w: %w", g.Namespace, g.Name, ErrNoTarget, err)
	}
	return f, err
}

func (g *Gate) look(ctx context.Context) (Progress, error) {
	if !g.Fleet {
		set := &v1alpha1.WarmSet{}
		if err := g.Client.Get(ctx, types.NamespacedName{Name: g.Name}, set); apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return Progress{}, fmt.Errorf("warmset %s: %w: %w", g.Name, ErrNoTarget, err)
		} else if err != nil {
			return Progress{}, err
		}
		return Judge(set, g.images(nil), g.Percent, g.Empty), nil
	}
	f, err := g.fleet(ctx)
	if err != nil {
		return Progress{}, err
	}
	list := &v1alpha1.WarmSetList{}
	if err := g.Client.List(ctx, list); err != nil {
		return Progress{}, err
	}
	i := slices.IndexFunc(list.Items, func(s v1alpha1.WarmSet) bool {
		ref := s.Spec.Fleet
		return ref != nil && ref.Namespace == g.Namespace && ref.Name == g.Name && s.Spec.Layers != v1alpha1.AssetsLayers
	})
	switch {
	case i >= 0:
		return Judge(&list.Items[i], g.images(f), g.Percent, g.Empty), nil
	case decide.OptedOut(f):
		return Progress{}, fmt.Errorf("fleet %s/%s has annotation %s=false: %w", g.Namespace, g.Name, v1alpha1.WarmAnnotation, ErrNoTarget)
	}
	return Progress{Message: "the Fleet has no WarmSet yet: is the controller running?"}, nil
}

// images are those that count; nil means all of the WarmSet.
func (g *Gate) images(f *agones.Fleet) []string {
	switch {
	case g.Image != "":
		return []string{g.Image}
	case f != nil:
		return append(decide.Current(f), decide.Announced(f)...)
	}
	return nil
}

// Judge says how far a WarmSet's nodes are with some images; nil means all of them.
func Judge(s *v1alpha1.WarmSet, refs []string, percent int, empty bool) Progress {
	if s.Status.ObservedGeneration != s.Generation {
		return Progress{Message: "the controller has not seen the last change yet"}
	}
	p := Progress{Desired: s.Status.Nodes.Desired, Warm: s.Status.Nodes.Desired, BytesRemaining: s.Status.BytesRemaining}
	if eta := s.Status.ETA; eta != nil {
		p.ETASeconds = int64(eta.Seconds())
	}
	if refs == nil {
		for i := range s.Spec.Images {
			refs = append(refs, s.Spec.Images[i].Ref)
		}
	}
	if len(refs) == 0 {
		return Progress{Desired: p.Desired, Message: "there is no image"}
	}
	for _, ref := range refs {
		i := slices.IndexFunc(s.Status.Images, func(x v1alpha1.ImageStatus) bool { return same(x.Ref, ref) })
		if i < 0 {
			return Progress{Desired: p.Desired, Message: ref + " is not in WarmSet " + s.Name + ": announce it"}
		}
		x := &s.Status.Images[i]
		p.Warm, p.Failed = min(p.Warm, x.Warm), max(p.Failed, x.Failed)
		if x.Message != "" && p.Message == "" {
			p.Message = ref + ": " + x.Message
		}
	}
	if p.Desired == 0 {
		p.Message, p.Done = "no node matches", empty
		return p
	}
	p.Done = int64(p.Warm)*100 >= int64(p.Desired)*int64(percent)
	return p
}

func same(a, b string) bool {
	if a == b {
		return true
	}
	a, _ = decide.Normal(a) // what is none stays as it is
	b, _ = decide.Normal(b)
	return a == b
}
