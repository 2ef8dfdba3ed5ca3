package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

// maxPause is how long a report waits at most after one that failed.
const maxPause = 30 * time.Second

// Report writes the agent's status into the NodeCache until ctx ends, when it returns nil. Nothing is written before the
// agent has looked at its node, nor if nothing changed. What fails is tried again.
func (n *Node) Report(ctx context.Context, status func() agent.Status) error {
	select {
	case <-n.synced:
	case <-ctx.Done():
		return nil
	}
	r := reporter{Node: n}
	pause := n.o.Every
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if err := r.report(ctx, status()); err == nil {
			pause = n.o.Every
		} else if ctx.Err() == nil {
			pause = min(2*pause, maxPause)
			n.o.Log.Warn("node cache could not be written", "error", err, "again", pause)
		}
		timer.Reset(pause)
	}
}

type reporter struct {
	*Node
	// said is the last status that was written, at what time.
	said  v1alpha1.NodeCacheStatus
	at    time.Time
	meter meter
}

// report writes once, if there is a reason to.
func (r *reporter) report(ctx context.Context, s agent.Status) error {
	next := Cached(s, r.o.Version, r.o.Platform)
	next.BytesPerSecond = r.meter.add(time.Now(), s.Images, next.BytesRemaining)
	v, err := r.view(ctx)
	if err != nil || v.node == nil || !s.Observed {
		return err
	}
	switch {
	case v.cache == nil:
		v.cache = &v1alpha1.NodeCache{ObjectMeta: metav1.ObjectMeta{
			Name: v.node.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: v.node.Name, UID: v.node.UID}},
		}}
		if err := r.client.Create(ctx, v.cache); err != nil {
			return fmt.Errorf("create NodeCache %s: %w", r.o.Name, err)
		}
	case !decide.Belongs(v.cache, v.node): // an earlier node's of the same name
		err := r.client.Delete(ctx, v.cache, client.Preconditions{UID: &v.cache.UID})
		return client.IgnoreNotFound(err)
	}
	if equality.Semantic.DeepEqual(v.cache.Status, next) || r.early(v.cache.Status, next) {
		return nil
	}
	v.cache.Status = next
	if err := r.client.Status().Update(ctx, v.cache); err != nil {
		return fmt.Errorf("update status of NodeCache %s: %w", r.o.Name, err)
	}
	r.said, r.at = next, time.Now()
	return nil
}

// early says that what changed can wait: bytes, or nothing that was not said a moment ago and is not seen in the cache yet.
func (r *reporter) early(was, next v1alpha1.NodeCacheStatus) bool {
	since := time.Since(r.at)
	if equality.Semantic.DeepEqual(r.said, next) && since < 2*time.Second {
		return true
	}
	return since < r.o.Bytes && equality.Semantic.DeepEqual(withoutBytes(was), withoutBytes(next))
}

func withoutBytes(s v1alpha1.NodeCacheStatus) v1alpha1.NodeCacheStatus {
	s = *s.DeepCopy()
	s.BytesRemaining, s.BytesPerSecond, s.Bandwidth = 0, 0, 0
	for i := range s.Images {
		s.Images[i].WantedBytes, s.Images[i].PresentBytes, s.Images[i].Phases = 0, 0, nil
	}
	return s
}

// What the CRD allows.
const (
	maxImages = 1024
	maxText   = 256
)

var states = map[agent.ImageState]v1alpha1.ImageState{
	agent.Resolving: v1alpha1.ImageResolving, agent.Pulling: v1alpha1.ImagePulling, agent.Waiting: v1alpha1.ImageWaiting,
	agent.Failed: v1alpha1.ImageFailed, agent.Warm: v1alpha1.ImageWarm,
}

// Cached is an agent's status as others read it. Images for another platform than the node's are left out: no pod here
// can run them.
func Cached(s agent.Status, version, platform string) v1alpha1.NodeCacheStatus {
	out := v1alpha1.NodeCacheStatus{Observed: s.Observed, AgentVersion: version, Platform: platform, Bandwidth: s.Bandwidth}
	for i := range s.Images {
		x := &s.Images[i]
		if x.Platform != "" || len(x.Ref) > 2*maxText {
			continue
		}
		out.Wanted++
		if x.State == agent.Warm {
			out.Warm++
		}
		if len(out.Images) < maxImages {
			out.Images = append(out.Images, cached(x))
		}
	}
	for _, b := range s.Phases {
		out.BytesRemaining += max(0, b.Wanted-b.Present)
	}
	slices.SortFunc(out.Images, func(a, b v1alpha1.CachedImage) int {
		return cmp.Or(cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Layers, b.Layers))
	})
	return out
}

func cached(x *agent.ImageStatus) v1alpha1.CachedImage {
	c := v1alpha1.CachedImage{
		Ref: x.Ref, Layers: v1alpha1.AllLayers, State: states[x.State], Digest: string(x.Digest),
		WantedBytes: x.Wanted, PresentBytes: x.Present,
	}
	if x.Layers == warmer.Assets {
		c.Layers = v1alpha1.AssetsLayers
	}
	for _, p := range warmer.Phases {
		if b, ok := x.Phases[p]; ok {
			c.Phases = append(c.Phases, v1alpha1.PhaseBytes{Name: p, WantedBytes: b.Wanted, PresentBytes: b.Present})
		}
	}
	if x.State != agent.Warm {
		c.Error = strings.ToValidUTF8(x.Error[:min(len(x.Error), maxText)], "?")
	}
	return c
}
