package charts_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/pitcrew-dev/pitcrew/test/charts/agonesapi"
)

// pods are the pod templates that a release has, by the name of what has them.
func pods(t *testing.T, r *release) map[string]*corev1.PodTemplateSpec {
	t.Helper()
	out := map[string]*corev1.PodTemplateSpec{}
	for _, o := range r.objects {
		v, err := typed(t, known(t), o)
		if err != nil {
			t.Fatal(err)
		}
		switch v := v.(type) {
		case *appsv1.DaemonSet:
			out[v.Name] = &v.Spec.Template
		case *appsv1.Deployment:
			out[v.Name] = &v.Spec.Template
		case *agonesapi.Fleet:
			out["Fleet"] = &v.Spec.Template.Spec.Template
		}
	}
	return out
}

// forbidden is what a level of Pod Security has against a pod, without the fields' values.
func forbidden(t *testing.T, level api.Level, p *corev1.PodTemplateSpec) []string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &p.ObjectMeta, &p.Spec) {
		if !r.Allowed {
			reason := r.ForbiddenReason
			if strings.HasSuffix(r.ForbiddenDetail, `restricted volume type "hostPath"`) {
				reason += ": hostPath"
			}
			out = append(out, reason)
		}
	}
	slices.Sort(out)
	return out
}

// exceptions are all that the charts have against the restricted level, and nothing else may be.
var exceptions = map[string][]string{
	"pitcrew-warmer-agent-amd64": {`restricted volume types: hostPath`, "runAsNonRoot != true", "runAsUser=0"},
	"pitcrew-warmer-agent-arm64": {`restricted volume types: hostPath`, "runAsNonRoot != true", "runAsUser=0"},
	"pitcrew-warmer-controller":  nil,
	"Fleet":                      nil,
}

func TestPodsAreRestrictedExceptWhereListed(t *testing.T) {
	for name, cases := range switches {
		for _, c := range append([]switched{{"defaults", ""}}, cases...) {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				found := pods(t, render(t, name, c.values))
				if len(found) == 0 {
					t.Fatal("no pods")
				}
				for pod, template := range found {
					want := slices.Clone(exceptions[pod])
					switch {
					case c.name == "Bottlerocket" && strings.Contains(pod, "agent"):
						want = append(want, "seLinuxOptions")
					case c.name == "rate limit":
						want = append(want, "runAsNonRoot != true", "runAsUser=0", "unrestricted capabilities")
					}
					slices.Sort(want)
					if got := forbidden(t, api.LevelRestricted, template); !slices.Equal(got, want) {
						t.Errorf("%s: %v, want %v", pod, got, want)
					}
				}
			})
		}
	}
}

// Whoever reads a template shall see each exception with its reason.
func TestEveryExceptionIsExplained(t *testing.T) {
	r := render(t, pitcrew, "agent: {architectures: {arm64: {enabled: false}}, seLinuxOptions: {type: control_t}, containerd: {hostsDir: /etc/containerd/certs.d}, disk: {kubeletConfig: /c, kubeletConfigDir: /d}}")
	lines := strings.Split(r.text, "\n")
	explained := 0
	for i, line := range lines {
		switch {
		case strings.Contains(line, "runAsNonRoot: false"), strings.Contains(line, "seLinuxOptions:"):
			explained++
			if !strings.Contains(lines[i-1], "# Not restricted") {
				t.Errorf("line %d: %s: without a comment above that begins with Not restricted", i, line)
			}
		case strings.Contains(line, "hostPath:"):
			explained++
			if !strings.Contains(lines[i-2], "# Not restricted") {
				t.Errorf("line %d: %s: without a comment above that begins with Not restricted", i, line)
			}
		}
	}
	if explained != 7 {
		t.Errorf("%d exceptions in the agent's template, want 7", explained)
	}
}

func TestEveryContainerIsLockedDown(t *testing.T) {
	every(t, func(t *testing.T, _ string, r *release) {
		t.Helper()
		for pod, template := range pods(t, r) {
			if template.Spec.HostNetwork || template.Spec.HostPID || template.Spec.HostIPC {
				t.Errorf("%s shares the node's namespaces", pod)
			}
			mounts := map[string]bool{}
			for _, v := range template.Spec.Volumes {
				mounts[v.Name] = false
				if v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil {
					t.Errorf("%s: volume %s has no limit", pod, v.Name)
				}
			}
			for _, c := range slices.Concat(template.Spec.InitContainers, template.Spec.Containers) {
				s := c.SecurityContext
				if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
					s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || s.Privileged != nil {
					t.Errorf("%s/%s: %+v", pod, c.Name, s)
				}
				if c.Resources.Requests.Cpu().IsZero() && c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s/%s has no resources", pod, c.Name)
				}
				for _, m := range c.VolumeMounts {
					mounts[m.Name] = true
					for _, v := range template.Spec.Volumes {
						if v.Name == m.Name && v.HostPath != nil && !m.ReadOnly {
							t.Errorf("%s/%s: %s of the node can be written", pod, c.Name, m.MountPath)
						}
					}
				}
			}
			for name := range maps.Keys(mounts) {
				if !mounts[name] {
					t.Errorf("%s: nobody mounts %s", pod, name)
				}
			}
		}
	})
}
