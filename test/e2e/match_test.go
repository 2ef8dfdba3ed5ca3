package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// match is the part of the sidecar's status that is looked at.
type match struct {
	AgonesState, Phase, Match string
	Players                   int
	Races                     int
}

// The real game with the real sidecar in a pod of its chart: it gets Ready from a warm image, players race on
// it, and a deletion of the pod in mid-race waits for the race's end.
func TestAMatchEndsBeforeItsPod(t *testing.T) {
	need(t)
	helmInstall(t, "stk-fleet", "default", values{
		"image": registry + "/stk-server:1.4", "replicas": 0,
		"autoscaler":   values{"enabled": false},
		"sidecar":      values{"image": values{"registry": registry, "tag": "e2e"}},
		"drain":        values{"timeoutSeconds": 240, "lobbyGraceSeconds": 1},
		"serverConfig": values{"ai-anywhere": true, "start-game-counter": 2, "voting-timeout": 5}, // bots play, and at once
		"placement":    values{"architectures": []any{"amd64"}},
	})
	t.Cleanup(func() { helmUninstall(t, "stk-fleet", "default") })
	fetchPlayers(t) // meanwhile
	if _, err := program(t, "warmer", "gate", "fleet/stk-fleet", "-n", "default", "--timeout", "3m"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	scale(t, "stk-fleet", 1)
	var pod *corev1.Pod
	until(t, "a server that is Ready", func() error {
		pod = anyPod(t, "stk-fleet")
		s, err := asked(t.Context(), pod)
		if err == nil && s.AgonesState != "Ready" {
			err = fmt.Errorf("it is %+v", s)
		}
		return err
	})
	t.Logf("the game was Ready %.1f s after its Fleet wanted a server", time.Since(began).Seconds())
	allocate(t, pod)
	join(t, pod.Status.PodIP)
	until(t, "a race", func() error {
		s, err := asked(t.Context(), pod)
		if err == nil && (s.Match != "racing" || s.Players != 2) {
			err = fmt.Errorf("it is %+v", s)
		}
		return err
	})

	deleted := time.Now()
	kubectl(t, "delete", "pod", pod.Name, "--wait=false")
	var racing, over time.Duration // after the deletion, when it was last seen racing, and first seen after its race
	var cut, log string
	node, players := agentOn(t, e2e.a), 0
	until(t, "the end of the pod", func() error {
		if s, err := asked(t.Context(), pod); err == nil {
			switch {
			case s.Match == "racing":
				racing = time.Since(deleted)
			case s.Races == 1 && over == 0:
				over = time.Since(deleted)
			}
			cut = metric(t.Context(), pod, "pitcrew_sidecar_players_cut_off_total")
		}
		if s, err := askAgent(t.Context(), node); err == nil {
			players = max(players, s.Players)
		}
		if raw, err := os.ReadFile(gameLog(pod)); err == nil {
			log = string(raw)
		}
		if err := e2e.Get(t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
	gone := time.Since(deleted)
	if racing == 0 || over < racing || cut != "0" {
		t.Errorf("after the deletion the race went on for %s, was over at %s, and %q players were cut off", racing, over, cut)
	}
	if players == 0 { // how many there are besides the first one is told later
		t.Error("the node's agent knew of no players, beside whom it has to do less")
	}
	if !strings.Contains(log, "The game is considered finished.") {
		t.Errorf("the game does not say that the race was over:\n%s", log)
	}
	t.Logf("deleted in mid-race: the race went on for %.1f s, the pod was gone after %.1f s, %s players were cut off", racing.Seconds(), gone.Seconds(), cut)
}

// gameLog is where the game's log is.
func gameLog(pod *corev1.Pod) string {
	volume := "/var/lib/kubelet/pods/" + string(pod.UID) + "/volumes/kubernetes.io~empty-dir/home"
	return e2e.a.File(volume + "/config/supertuxkart/config-0.10/server_config.log")
}

func asked(ctx context.Context, pod *corev1.Pod) (m match, err error) {
	return m, get(ctx, pod, "9096/status", &m)
}

// metric is a sample of the sidecar's metrics, and empty if it cannot be had.
func metric(ctx context.Context, pod *corev1.Pod, name string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+pod.Status.PodIP+":9096/metrics", nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindSubmatch(page)
	if err != nil || found == nil {
		return ""
	}
	return string(found[1])
}

// allocate is what a matchmaker does: here it is asked of the SDK server in the pod, which listens on the pod's loopback.
func allocate(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	forward := e2e.KubectlCommand(ctx, "port-forward", "pod/"+pod.Name, ":9358")
	out, err := forward.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = forward.Wait() // it was killed
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	if err != nil || address == "" {
		t.Fatalf("kubectl port-forward says %q, %v", line, err)
	}
	resp, err := http.Post("http://"+address+"/dev/allocate", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("allocation: %s", resp.Status)
	}
}

// bots is a pod of two players.
func bots(name string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{"kubernetes.io/hostname": "node-a"}, RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: "bots", Image: registry + "/stk-server:1.4-full", Stdin: true, // at the end of its input the game's console would spin
				Command: append([]string{"/usr/games/supertuxkart", "--no-graphics"}, args...),
			}},
		},
	}
}

// fetchPlayers has their image pulled, by a pod that only says its version.
func fetchPlayers(t *testing.T) {
	t.Helper()
	pod := bots("nobody", "--version")
	if err := e2e.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, pod) })
}

// join lets two players come to a server.
func join(t *testing.T, server string) {
	t.Helper()
	pod := bots("players", "--connect-now="+server+":2759", "--network-ai=2")
	if err := e2e.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, err := e2e.Kubectl(withoutCancel(t), "logs", "players", "--tail=30")
			t.Logf("players: %v\n%s", err, strings.TrimSpace(log))
		}
		remove(t, pod)
	})
}
