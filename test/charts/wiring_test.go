package charts_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	corev1 "k8s.io/api/core/v1"

	"github.com/pitcrew-dev/pitcrew/test/charts/agonesapi"
)

// program builds a command of the repository once and returns its path.
func program(t *testing.T, name string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "charts-") //nolint:usetesting // for all tests of this program
		if err != nil {
			t.Fatal(err)
		}
		built.dir = dir // TestMain removes it
	}
	file := filepath.Join(built.dir, name)
	if _, err := os.Stat(file); err == nil {
		return file
	}
	cmd := exec.Command("go", "build", "-tags", "disable_grpc_modules,grpcnotrace", "-o", file, "./cmd/"+name)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

var built struct {
	sync.Mutex
	dir string
}

// flags are a container's --name=value arguments.
func flags(c *corev1.Container) map[string]string {
	out := map[string]string{}
	for _, a := range c.Args {
		if name, value, ok := strings.Cut(a, "="); ok && strings.HasPrefix(name, "--") {
			out[strings.TrimPrefix(name, "--")] = value
		}
	}
	return out
}

func container(t *testing.T, containers []corev1.Container, name string) *corev1.Container {
	t.Helper()
	i := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no container %s", name)
	}
	return &containers[i]
}

// The real programs take the arguments of every case.
func TestThePrograms(t *testing.T) {
	programs := map[string]string{"agent": "warmer", "controller": "warmer", "pitcrew-sidecar": "sidecar"}
	tried := map[string]bool{}
	every(t, func(t *testing.T, _ string, r *release) {
		t.Helper()
		for pod, template := range pods(t, r) {
			for _, c := range slices.Concat(template.Spec.InitContainers, template.Spec.Containers) {
				command, ours := programs[c.Name]
				key := command + strings.Join(c.Args, " ")
				if !ours || tried[key] {
					continue
				}
				tried[key] = true
				if out, err := exec.Command(program(t, command), append(slices.Clone(c.Args), "--help")...).CombinedOutput(); err != nil {
					t.Errorf("%s: %s %v: %v\n%s", pod, command, c.Args, err, out)
				}
			}
		}
	})
	t.Run("and a wrong one is noticed", func(t *testing.T) {
		if err := exec.Command(program(t, "warmer"), "agent", "--band=0", "--help").Run(); err == nil {
			t.Error("no error from a flag that does not exist")
		}
	})
}

// meant are flags whose defaults of a chart are not the program's, because it runs in a pod.
var meant = []string{"node", "lease-namespace", "containerd-root", "state", "log-format", "log"}

var helped = regexp.MustCompile(`--([a-z-]+)[^\n]*?\(default "?([^")]*)"?\)`)

func TestChartsHaveTheProgramsDefaults(t *testing.T) {
	agent := as2(t, pitcrew, "pitcrew-warmer-agent-amd64")
	controller := as2(t, pitcrew, "pitcrew-warmer-controller")
	server := as2(t, stk, "Fleet")
	for _, c := range []struct {
		program string
		c       *corev1.Container
	}{
		{"warmer", container(t, agent.Spec.Containers, "agent")},
		{"warmer", container(t, controller.Spec.Containers, "controller")},
		{"sidecar", container(t, server.Spec.InitContainers, "pitcrew-sidecar")},
	} {
		out, err := exec.Command(program(t, c.program), c.c.Args[0], "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		defaults := map[string]string{}
		for _, m := range helped.FindAllStringSubmatch(string(out), -1) {
			defaults[m[1]] = m[2]
		}
		if len(defaults) < 5 {
			t.Fatalf("%s %s --help names %d defaults", c.program, c.c.Args[0], len(defaults))
		}
		for name, value := range flags(c.c) {
			if want := defaults[name]; !same(value, want) && !slices.Contains(meant, name) {
				t.Errorf("%s %s: --%s is %s in the chart, and %q by itself", c.program, c.c.Args[0], name, value, want)
			}
		}
	}
}

func as2(t *testing.T, chart, pod string) *corev1.PodTemplateSpec {
	t.Helper()
	return pods(t, render(t, chart))[pod]
}

// same compares flags' values by what they mean; no default is 0.
func same(a, b string) bool {
	if a == b || a == "0" && b == "0 B" {
		return true
	}
	if x, err := time.ParseDuration(a); err == nil {
		y, err := time.ParseDuration(b)
		return x == y && (err == nil || b == "")
	}
	x, errX := humanize.ParseBytes(a)
	y, errY := humanize.ParseBytes(b)
	return errX == nil && errY == nil && x == y
}

type serverConfig struct {
	Version string `xml:"version,attr"`
	Options []struct {
		XMLName xml.Name
		Value   string `xml:"value,attr"`
	} `xml:",any"`
}

func options(t *testing.T, r *release, name string) map[string]string {
	t.Helper()
	var c serverConfig
	d := xml.NewDecoder(bytes.NewReader([]byte(as[corev1.ConfigMap](t, r, "ConfigMap", name).Data["server_config.xml"])))
	d.Strict = true
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, o := range c.Options {
		if _, twice := out[o.XMLName.Local]; twice {
			t.Errorf("option %s comes twice", o.XMLName.Local)
		}
		out[o.XMLName.Local] = o.Value
	}
	return out
}

// What one part of a Fleet says of another is true, whatever the values.
func TestTheFleetIsWired(t *testing.T) {
	for _, c := range append([]switched{{"defaults", ""}}, switches[stk]...) {
		t.Run(c.name, func(t *testing.T) {
			r := render(t, stk, c.values)
			name := "r"
			if c.name == "name and labels" {
				name = "karts"
			}
			fleet := as[agonesapi.Fleet](t, r, "Fleet", name)
			gs := fleet.Spec.Template.Spec
			pod := gs.Template.Spec
			game, sidecar := container(t, pod.Containers, "stk"), container(t, pod.InitContainers, "pitcrew-sidecar")
			f := flags(sidecar)

			if gs.Container != game.Name || len(pod.Containers) != 1 {
				t.Errorf("the game is %s of %d containers", gs.Container, len(pod.Containers))
			}
			if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways || sidecar.StartupProbe != nil {
				t.Error("the sidecar is no native one, or keeps the game from starting")
			}
			if game.LivenessProbe != nil || game.StartupProbe != nil || game.ReadinessProbe != nil {
				t.Error("the game has a probe, with which Agones does not look at health")
			}
			hook := game.Lifecycle.PreStop.HTTPGet
			if hook.Path != "/prestop" || f["listen"] != ":"+hook.Port.String() || sidecar.Ports[0].ContainerPort != int32(hook.Port.IntValue()) {
				t.Errorf("preStop asks %s on %s, the sidecar listens on %s", hook.Path, hook.Port.String(), f["listen"])
			}
			drain, err := time.ParseDuration(f["drain-timeout"])
			if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; err != nil || grace != drain+time.Minute {
				t.Errorf("grace period %s, drain %s, %v", grace, drain, err)
			}
			if window, err := time.ParseDuration(f["liveness-window"]); err != nil || window >= time.Duration(gs.Health.PeriodSeconds*gs.Health.FailureThreshold)*time.Second {
				t.Errorf("liveness window %s, Agones gives up after %d times %d s", window, gs.Health.FailureThreshold, gs.Health.PeriodSeconds)
			}

			config := options(t, r, name)
			port := strconv.Itoa(int(gs.Ports[0].ContainerPort))
			if config["server-port"] != port || f["game-port"] != port || gs.Ports[0].Protocol != "UDP" {
				t.Errorf("port %s, in the configuration %s, of the sidecar %s", port, config["server-port"], f["game-port"])
			}
			if list, ok := gs.Lists[f["list"]]; !ok || config["server-max-players"] != strconv.FormatInt(list.Capacity, 10) {
				t.Errorf("list %v of capacity %d, in the configuration %s", gs.Lists, list.Capacity, config["server-max-players"])
			}
			if _, ok := gs.Counters[f["counter"]]; !ok {
				t.Errorf("no counter %s", f["counter"])
			}
			if _, ok := fleet.Spec.AllocationOverflow.Labels[f["overflow-key"]]; !ok {
				t.Errorf("the sidecar waits for %s", f["overflow-key"])
			}

			if log := environment(game)["XDG_CONFIG_HOME"] + "/supertuxkart/config-0.10/server_config.log"; f["log"] != log {
				t.Errorf("the sidecar reads %s, the game writes %s", f["log"], log)
			}
			written, read := mountAbove(game, f["log"]), mountAbove(sidecar, f["log"])
			if written == nil || read == nil || written.Name != read.Name || written.MountPath != read.MountPath || written.ReadOnly || !read.ReadOnly {
				t.Errorf("the log's folder is %+v for the game, %+v for the sidecar", written, read)
			}
			for _, v := range pod.Volumes {
				if v.ConfigMap != nil {
					data := as[corev1.ConfigMap](t, r, "ConfigMap", v.ConfigMap.Name).Data
					for _, item := range v.ConfigMap.Items {
						if data[item.Key] == "" {
							t.Errorf("the ConfigMap has no %s", item.Key)
						}
					}
				}
			}
			for i := range pod.InitContainers {
				if m := mountAbove(&pod.InitContainers[i], "/var/run/secrets/kubernetes.io/serviceaccount/token"); m == nil || !m.ReadOnly {
					t.Errorf("%s sees the token of Agones' service account", pod.InitContainers[i].Name)
				}
			}
			for key := range selectorOf(t, r) {
				if gs.Template.Labels[key] == "" {
					t.Errorf("pods have no label %s, by which they are selected", key)
				}
			}
		})
	}
}

// selectorOf is what policies and monitors go by.
func selectorOf(t *testing.T, r *release) map[string]string {
	t.Helper()
	out := map[string]string{"app.kubernetes.io/name": "", "app.kubernetes.io/instance": ""}
	for _, o := range r.objects {
		for _, path := range [][]string{{"spec", "selector", "matchLabels"}, {"spec", "podSelector", "matchLabels"}} {
			m := o.Object
			for _, p := range path {
				m, _ = m[p].(object)
			}
			for k := range m {
				out[k] = ""
			}
		}
	}
	return out
}

func environment(c *corev1.Container) map[string]string {
	out := map[string]string{}
	for _, e := range c.Env {
		out[e.Name] = e.Value
	}
	return out
}

// mountAbove is the volume that a file lies on.
func mountAbove(c *corev1.Container, file string) *corev1.VolumeMount {
	for dir := path.Dir(file); dir != "/"; dir = path.Dir(dir) {
		for i := range c.VolumeMounts {
			if c.VolumeMounts[i].MountPath == dir {
				return &c.VolumeMounts[i]
			}
		}
	}
	return nil
}

func TestAChangeOfTheConfigurationRollsTheFleet(t *testing.T) {
	sum := func(values string) string {
		return as[agonesapi.Fleet](t, render(t, stk, values), "Fleet", "r").Spec.Template.Spec.Template.Annotations["checksum/config"]
	}
	sums := map[string]string{}
	for _, v := range []string{"", "serverConfig: {server-mode: 4}", "players: {max: 4}", "rateLimit: {enabled: true, image: 'nft:1'}", "rateLimit: {enabled: true, image: 'nft:1', burst: 5}"} {
		s := sum(v)
		if len(s) != 64 {
			t.Errorf("%q: sum %q", v, s)
		}
		if other, ok := sums[s]; ok {
			t.Errorf("%q has the sum of %q", v, other)
		}
		sums[s] = v
	}
	if sum("drain: {timeoutSeconds: 5}") != sum("") {
		t.Error("the sum goes by more than the configuration")
	}
}

func TestTheConfigurationKeepsAnyText(t *testing.T) {
	motd := `a <b> & "c" 'd' ` + "\u00e4\u65e5"
	got := options(t, render(t, stk, fmt.Sprintf("name: x\nserverConfig: {motd: %q, server-mode: 6, wan-server: true}", motd)), "x")
	for name, want := range map[string]string{"motd": motd, "server-mode": "6", "wan-server": "true", "server-name": "x"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// Agents and the controller are found by what selects them, and one another's selectors find neither.
func TestSelectorsOfTheWarmer(t *testing.T) {
	r := render(t, pitcrew, "commonLabels: {app.kubernetes.io/component: x}\nagent: {podLabels: {pitcrew.dev/arch: x}}")
	found := pods(t, r)
	for _, o := range r.objects {
		if kind := o.GetKind(); kind != "DaemonSet" && kind != "Deployment" {
			continue
		}
		selector := o.Object["spec"].(object)["selector"].(object)["matchLabels"].(object)
		for pod, template := range found {
			selects := true
			for k, v := range selector {
				selects = selects && template.Labels[k] == v
			}
			if selects != (pod == o.GetName()) {
				t.Errorf("%s selects %s: %v", o.GetName(), pod, selects)
			}
		}
	}
}
