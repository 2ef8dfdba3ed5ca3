package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/internal/outputtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output is what a command writes; its log is in JSON.
type output struct{ outputtest.Output }

// field waits for a log line with a message and returns one of its fields.
func (o *output) field(t *testing.T, msg, key string) string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for line := range strings.Lines(o.String()) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == msg {
				return fields[key].(string)
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no line %q in:\n%s", msg, o)
		}
	}
}

func none(string) string { return "" }

func TestAllFaultsOfTheCommandLineAreReportedTogether(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{
		"run", "--game", "chess", "--game-port", "0", "--listen", ":8080", "--allocation", "anybody", "--when-empty", "explode", "--drain-timeout", "0s", "--join-timeout", "-1s",
	}, none, &stderr, &stderr)
	if code != 2 {
		t.Errorf("exit code = %d, want 2", code)
	}
	for _, want := range []string{"chess", "game-port 0", "8080", "anybody", "explode", "drain-timeout", "join-timeout"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not mentioned in:\n%s", want, &stderr)
		}
	}
}

func TestAWrapperEndsAsItsGame(t *testing.T) {
	dir := t.TempDir()
	for command, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137} {
		var stdout, stderr output
		code := run(t.Context(), []string{
			"run", "--listen", "127.0.0.1:0", "--sdk-address", "127.0.0.1:1", "--log", filepath.Join(dir, "log"), "--", "sh", "-c", "echo out; echo err >&2; " + command,
		}, none, &stdout, &stderr)
		if code != want || stdout.String() != "out\n" || !strings.Contains(stderr.String(), "err\n") {
			t.Errorf("sh -c %q: exit code %d, output %q; want %d and the game's output\n%s", command, code, stdout.String(), want, &stderr)
		}
	}
	var stderr output
	if code := run(t.Context(), []string{"run", "--listen", "127.0.0.1:0", "--", filepath.Join(dir, "nothing")}, none, &stderr, &stderr); code != 1 || !strings.Contains(stderr.String(), "nothing") {
		t.Errorf("a game that is not there: exit code %d, %s", code, &stderr)
	}
}

func TestASignalDrainsAndThenEndsTheGame(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr output
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{
			"run", "--listen", "127.0.0.1:0", "--sdk-address", "127.0.0.1:1", "--log", filepath.Join(dir, "log"), "--",
			"sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done",
		}, none, &stdout, &stderr)
	}()
	address := stderr.field(t, "sidecar started", "listen")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/status": 200, "/metrics": 200, "/prestop?timeout=soon": 400} {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s = %d, want %d", path, resp.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.After(20 * time.Second); stdout.String() == ""; {
		select {
		case <-deadline:
			t.Fatal("the game does not start")
		case <-time.After(time.Millisecond):
		}
	}
	cancel() // as a signal does
	if code := <-done; code != 3 {
		t.Errorf("exit code = %d, want the game's, 3\n%s", code, &stderr)
	}
}

func TestTheDevServerSpeaksREST(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr output
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"dev-server", "--grpc-port", "0", "--http-port", "0"}, none, &stdout, &stderr)
	}()
	rest := "http://" + stderr.field(t, "SDK server started", "rest")
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/dev/allocate", 409}, {"GET", "/gameserver", 200}, {"POST", "/dev/overflow", 200}, {"POST", "/dev/restart", 200}, {"GET", "/gameserver", 200}, {"POST", "/dev/delete", 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, rest+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %s = %d, want %d", c.method, c.path, resp.StatusCode, c.want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit code = %d, want 0\n%s", code, &stderr)
	}
}

func TestTheLogIsWhereTheGameWritesIt(t *testing.T) {
	env := map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/x"}
	if got, want := defaultLog(func(k string) string { return env[k] }), "/x/supertuxkart/config-0.10/server_config.log"; got != want {
		t.Errorf("defaultLog() = %s, want %s", got, want)
	}
	delete(env, "XDG_CONFIG_HOME")
	if got, want := defaultLog(func(k string) string { return env[k] }), "/h/.config/supertuxkart/config-0.10/server_config.log"; got != want {
		t.Errorf("defaultLog() = %s, want %s", got, want)
	}
	env["AGONES_SDK_GRPC_PORT"] = "1234"
	if got, want := sdkAddress(func(k string) string { return env[k] }), "localhost:1234"; got != want {
		t.Errorf("sdkAddress() = %s, want %s", got, want)
	}
}
