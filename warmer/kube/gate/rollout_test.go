package gate_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/gate"
)

func template(image string) agones.GameServerTemplate {
	var t agones.GameServerTemplate
	t.Spec.Template.Spec.Containers = []corev1.Container{{Name: "game", Image: image}}
	return t
}

func TestFollow(t *testing.T) {
	fleet := &agones.Fleet{Spec: agones.FleetSpec{Replicas: 4, Template: template("r.test/stk:2")}}
	version := func(image string, age time.Duration, wanted int32, s agones.GameServerSetStatus) agones.GameServerSet {
		return agones.GameServerSet{
			ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))},
			Spec:       agones.GameServerSetSpec{Replicas: wanted, Template: template(image)}, Status: s,
		}
	}
	type status = agones.GameServerSetStatus
	for _, c := range []struct {
		name string
		sets []agones.GameServerSet
		want gate.Rollout
	}{
		{"nothing has happened yet", []agones.GameServerSet{version("r.test/stk:1", time.Hour, 4, status{Replicas: 4, ReadyReplicas: 4})}, gate.Rollout{Old: 4}},
		{"half", []agones.GameServerSet{
			version("r.test/stk:1", time.Hour, 2, status{Replicas: 2, ReadyReplicas: 2}), version("r.test/stk:2", 0, 2, status{Replicas: 2, ReadyReplicas: 1}),
		}, gate.Rollout{Servers: 2, Up: 1, Old: 2}},
		{"new ones are up, and old ones still end", []agones.GameServerSet{
			version("r.test/stk:1", time.Hour, 0, status{Replicas: 1}), version("r.test/stk:2", 0, 4, status{Replicas: 4, ReadyReplicas: 4}),
		}, gate.Rollout{Servers: 4, Up: 4, Old: 1}},
		{"done", []agones.GameServerSet{
			version("r.test/stk:1", time.Hour, 0, status{}), version("r.test/stk:2", 0, 4, status{Replicas: 4, ReadyReplicas: 3, AllocatedReplicas: 1}),
		}, gate.Rollout{Servers: 4, Up: 4, Done: true}},
		{"those with players stay", []agones.GameServerSet{
			version("r.test/stk:1", time.Hour, 0, status{Replicas: 2, AllocatedReplicas: 1, ReservedReplicas: 1}), version("r.test/stk:2", 0, 2, status{Replicas: 2, ReadyReplicas: 2}),
		}, gate.Rollout{Servers: 2, Up: 2, Spared: 2, Done: true}},
		{"the new set is not as large as it will be", []agones.GameServerSet{version("r.test/stk:2", 0, 1, status{Replicas: 1, ReadyReplicas: 1})}, gate.Rollout{Servers: 1, Up: 1}},
		{"the newer one of two with the image", []agones.GameServerSet{
			version("r.test/stk:2", 0, 4, status{Replicas: 4, ReadyReplicas: 4}), version("r.test/stk:2", time.Hour, 0, status{Replicas: 1, ReadyReplicas: 1}),
		}, gate.Rollout{Servers: 4, Up: 4, Old: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Container = "game"
			got := gate.Follow(fleet, c.sets, "game")
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(gate.Rollout{}, "Message")); diff != "" || got.Message == "" {
				t.Errorf("Follow (-want +got):\n%s%s", diff, got.Message)
			}
		})
	}
}
