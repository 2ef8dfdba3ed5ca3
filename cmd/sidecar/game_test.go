package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFaultsOfAGameAreReportedTogether(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("serving: 'up'\njoins: x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const minecraft = "../../examples/generic/minecraft.yaml"
	for _, c := range []struct {
		args []string
		want []string
	}{
		{
			[]string{"--game", "generic", "--game-protocol", "sctp", "--game-patterns", bad, "--drain-timeout", "0s"},
			[]string{"drain-timeout 0s", "game-port: name the port", `game-protocol "sctp": use udp or tcp`, "bad.yaml: line 1: serving: it matches anywhere", `line 2: "joins" is not a key: use one of fatal, join,`},
		},
		{[]string{"--game", "generic", "--game-port", "1", "--game-patterns", minecraft}, []string{"game-patterns without log"}},
		{[]string{"--game", "generic", "--game-port", "1", "--game-patterns", "nowhere.yaml"}, []string{"nowhere.yaml"}},
		{[]string{"--game", "generic", "--game-port", "1", "--allocation", "self"}, []string{"allocation self: nothing tells when a player comes"}},
		{[]string{"--game", "generic", "--game-port", "0"}, []string{"game-port 0"}},
		{[]string{"--game-patterns", minecraft, "--game-protocol", "tcp"}, []string{"game-patterns: only with", `game-protocol "tcp": only with`}},
		{[]string{"--max-age", "-1s", "--lobby-grace", "-2s", "--never-ready", "-3s"}, []string{"lobby-grace -2s: a duration is not negative\nmax-age -1s: a duration is not negative\nnever-ready -3s"}},
		{[]string{"--game", "chess"}, []string{`game "chess" is not known: use stk or generic`}},
	} {
		var first string
		for range 3 {
			var stderr bytes.Buffer
			if code := run(t.Context(), append([]string{"run"}, c.args...), none, &stderr, &stderr); code != 2 {
				t.Errorf("%v: exit code %d, want 2\n%s", c.args, code, &stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("%v: %q is not mentioned in:\n%s", c.args, want, &stderr)
				}
			}
			if first == "" {
				first = stderr.String()
			}
			if stderr.String() != first {
				t.Errorf("%v: said\n%s\nand then\n%s", c.args, first, &stderr)
			}
		}
	}
}

func TestAnyGameIsWatched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	log := filepath.Join(t.TempDir(), "latest.log")
	if err := os.WriteFile(log, []byte("[12:00:10] [Server thread/INFO]: Done (5.021s)! For help, type \"help\"\n[12:01:01] [Server thread/INFO]: Steve joined the game\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr output
	done := make(chan int)
	env := map[string]string{"PITCREW_GAME": "generic", "PITCREW_GAME_PROTOCOL": "tcp", "PITCREW_GAME_PORT": strconv.Itoa(l.Addr().(*net.TCPAddr).Port), "PITCREW_LOG": log}
	go func() {
		done <- run(ctx, []string{
			"run", "--listen", "127.0.0.1:0", "--sdk-address", "127.0.0.1:1", "--drain-timeout", "1s", "--game-patterns", "../../examples/generic/minecraft.yaml",
		}, func(k string) string { return env[k] }, &stdout, &stderr)
	}()
	address := stderr.field(t, "sidecar started", "listen")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); ; {
		status := get(t, "http://"+address+"/status")
		if strings.Contains(status, `"serving":true`) && strings.Contains(status, `"players":1`) {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("status = %s", status)
		}
	}
	if page := get(t, "http://"+address+"/metrics"); !strings.Contains(page, `pitcrew_sidecar_log_lines_total{understood="yes"} 2`) {
		t.Errorf("two lines were not counted as understood in:\n%s", page)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel() // as a signal does
	if code := <-done; code != 0 {
		t.Errorf("exit code = %d, want 0\n%s", code, &stderr)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
