package controller_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/controller"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

// cable is a connection that can be cut.
type cable struct {
	next http.RoundTripper
	cut  *atomic.Bool
}

func (c cable) RoundTrip(req *http.Request) (*http.Response, error) {
	if c.cut.Load() {
		return nil, errors.New("the cable is cut")
	}
	return c.next.RoundTrip(req)
}

func (c cable) WrappedRoundTripper() http.RoundTripper { return c.next }

func TestAnotherControllerTakesOverFromOneThatIsCutOff(t *testing.T) {
	c := newCluster(t)
	o := quick()
	o.LeaseNamespace = kubetest.Namespace
	var cut atomic.Bool
	account := rest.CopyConfig(c.account())
	account.Wrap(func(next http.RoundTripper) http.RoundTripper { return cable{next, &cut} })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- controller.Run(ctx, account, o) }()
	c.create(set("s", "r.test/stk:1"))
	c.wantStatus("s", "0 0 0 NoMatchingNodes Idle AsExpected")
	c.control(c.account(), o)
	cut.Store(true)
	c.create(set("t", "r.test/stk:1"))
	c.wantStatus("t", "0 0 0 NoMatchingNodes Idle AsExpected")
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the controller that was cut off ended without an error, which would not start it anew")
		}
	case <-time.After(30 * time.Second):
		t.Error("the controller that was cut off goes on")
		cancel()
		<-ended
	}
}

// skew is by how much another machine's clock is wrong.
const skew = 10 * time.Minute

// holder is another controller, whose clock is not ours.
type holder struct {
	*cluster
	lease *coordinationv1.Lease
}

func newHolder(c *cluster) *holder {
	h := &holder{c, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: kubetest.Namespace, Name: "pitcrew-warmer"}}}
	if err := client.IgnoreNotFound(c.Delete(c.Context(), h.lease.DeepCopy())); err != nil {
		c.Fatal(err)
	}
	h.lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: new("another"), LeaseDurationSeconds: new(int32(2))}
	if err := c.Create(c.Context(), h.lease); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		if err := client.IgnoreNotFound(c.Delete(context.WithoutCancel(c.Context()), h.lease)); err != nil {
			c.Error(err)
		}
	})
	return h
}

func (h *holder) renew(off time.Duration) {
	h.Helper()
	h.lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(off)}
	if err := h.Update(h.Context(), h.lease); err != nil {
		h.Error(err)
	}
}

func TestClocksThatDiffer(t *testing.T) {
	o := quick()
	o.LeaseNamespace = kubetest.Namespace
	untouched := func(c *cluster, name string) error {
		s := &v1alpha1.WarmSet{}
		if err := c.Get(c.Context(), client.ObjectKeyFromObject(set(name)), s); err != nil || s.Status.ObservedGeneration != 0 {
			return fmt.Errorf("WarmSet %s has a status of generation %d, %w", name, s.Status.ObservedGeneration, errors.Join(err))
		}
		return nil
	}
	for name, off := range map[string]time.Duration{"one whose clock is ahead": skew, "one whose clock is behind": -skew} {
		t.Run("a lease is left to "+name+" while it is renewed, and not longer", func(t *testing.T) {
			c := newCluster(t)
			h := newHolder(c)
			h.renew(off)
			c.create(set("s", "r.test/stk:1"))
			c.control(c.account(), o)
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for range 25 { // five seconds: more than twice as long as the lease lasts
				<-tick.C
				h.renew(off)
				if err := untouched(c, "s"); err != nil {
					t.Fatalf("two controllers are at work: %v", err)
				}
			}
			c.wantStatus("s", "0 0 0 NoMatchingNodes Idle AsExpected")
		})
	}
	t.Run("conditions of one whose clock is ahead stay, and are changed when they should", func(t *testing.T) {
		c := newCluster(t)
		n := c.Node(t, "a", nil)
		c.Report(t, n, image("r.test/stk:1", v1alpha1.ImageWarm))
		s := set("s", "r.test/stk:1")
		c.create(s)
		stop := c.control(c.account(), quick())
		c.wantStatus("s", "1 1 0 AllWarm Idle AsExpected")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		future := metav1.NewTime(time.Now().Add(skew).Truncate(time.Second))
		kubetest.Eventually(t, func() error {
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
				return err
			}
			for i := range s.Status.Conditions {
				s.Status.Conditions[i].LastTransitionTime = future
			}
			return c.Status().Update(t.Context(), s)
		})
		before := c.version()
		c.control(c.account(), quick())
		c.create(set("later", "r.test/stk:1")) // once it has its status, the controller has looked at the other too
		c.wantStatus("later", "1 1 0 AllWarm Idle AsExpected")
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil || !s.Status.Conditions[0].LastTransitionTime.Equal(&future) {
			t.Errorf("conditions are %v, %v; want those of %s. Before: %s", s.Status.Conditions, err, future, before)
		}
		c.Report(t, n, image("r.test/stk:1", v1alpha1.ImageFailed))
		c.wantStatus("s", "1 0 1 ImageFailed Idle ImageFailed")
	})
}
