package handover_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/handover"
)

func gameServer() sidecar.GameServer {
	return sidecar.GameServer{
		Name: "stk-7", Namespace: "games", UID: "u", State: sidecar.Allocated, Address: "203.0.113.9",
		Ports:       []sidecar.Port{{Name: "game", Port: 7011}, {Name: "query", Port: 7012}},
		Labels:      map[string]string{"example.com/mode": "soccer", "example.com-mode": "race", sidecar.SDKPrefix + "phase": "playing"},
		Annotations: map[string]string{sidecar.LastAllocated: "2026-11-25T10:00:00Z", "match": "it's $(touch /tmp/x) `id`\nNAME=x", "nul": "a\x00b"},
		Lists:       map[string]sidecar.List{"players": {Capacity: 8}},
	}
}

func TestVariables(t *testing.T) {
	got := handover.Variables(gameServer())
	want := []handover.Variable{
		{"PITCREW_GAMESERVER_ADDRESS", "203.0.113.9"},
		{"PITCREW_GAMESERVER_ALLOCATED", "2026-11-25T10:00:00Z"},
		{"PITCREW_GAMESERVER_ANNOTATION_AGONES_DEV_LAST_ALLOCATED", "2026-11-25T10:00:00Z"},
		{"PITCREW_GAMESERVER_ANNOTATION_MATCH", "it's $(touch /tmp/x) `id`\nNAME=x"},
		{"PITCREW_GAMESERVER_CAPACITY_PLAYERS", "8"},
		{"PITCREW_GAMESERVER_LABEL_EXAMPLE_COM_MODE", "race"},
		{"PITCREW_GAMESERVER_NAME", "stk-7"},
		{"PITCREW_GAMESERVER_NAMESPACE", "games"},
		{"PITCREW_GAMESERVER_PORT", "7011"},
		{"PITCREW_GAMESERVER_PORT_GAME", "7011"},
		{"PITCREW_GAMESERVER_PORT_QUERY", "7012"},
		{"PITCREW_GAMESERVER_STATE", "Allocated"},
		{"PITCREW_GAMESERVER_UID", "u"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Variables() (-want +got):\n%s", diff)
	}
}

func TestAShellReadsTheFileAsItIsMeant(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gameserver.env")
	k := handover.NewKeeper(path, slog.New(slog.DiscardHandler))
	g := gameServer()
	k.Seen(g)
	for _, v := range handover.Variables(g) {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `. "$1"; printf %s "$`+v.Name+`"`, "sh", path).CombinedOutput()
		if err != nil || string(out) != v.Value {
			t.Errorf("$%s = %q, %v, want %q", v.Name, out, err, v.Value)
		}
	}
}

func TestTheFileFollowsTheGameServer(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gameserver.env")
	var log bytes.Buffer
	k := handover.NewKeeper(path, slog.New(slog.NewTextHandler(&log, nil)))
	g := gameServer()
	g.Annotations = nil
	k.Seen(g)
	first, err := os.Stat(path)
	if err != nil || first.Mode().Perm() != 0o644 {
		t.Fatalf("the file: %v, %v; want one that the game may read", first, err)
	}
	g.Labels[sidecar.SDKPrefix+"players"] = "3"
	k.Seen(g)
	if second, err := os.Stat(path); err != nil || !os.SameFile(first, second) {
		t.Errorf("written again although nothing changed: %v", err)
	}
	g.Labels["match"] = "42"
	k.Seen(g)
	if raw, err := os.ReadFile(path); err != nil || !strings.Contains(string(raw), "PITCREW_GAMESERVER_LABEL_MATCH='42'\n") {
		t.Errorf("after an allocation the file is %q, %v", raw, err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(names) > 0 {
		t.Errorf("left behind: %q, %v", names, err)
	}
	handover.NewKeeper(filepath.Join(dir, "missing", "file"), slog.New(slog.NewTextHandler(&log, nil))).Seen(g)
	if !strings.Contains(log.String(), "missing") {
		t.Errorf("a file that cannot be written is not logged: %q", &log)
	}
}

const config = `<?xml version="1.0"?>
<server-config version="6">
    <server-name value="${PITCREW_GAMESERVER_ANNOTATION_TITLE:-pitcrew}"/>
    <motd value="${PITCREW_GAMESERVER_ANNOTATION_MOTD:-&lt;none&gt;}"/>
    <server-port value="${PITCREW_GAMESERVER_PORT_GAME}"/>
    <server-max-players value="${PITCREW_GAMESERVER_CAPACITY_PLAYERS:-4}"/>
    <other value="$HOME ${HOME} $${x}"/>
</server-config>
`

func TestATemplateBecomesTheGamesConfiguration(t *testing.T) {
	dir := t.TempDir()
	tmpl, err := handover.ParseTemplate(filepath.Join(dir, "in") + "=" + filepath.Join(dir, "server_config.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tmpl.From, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g := gameServer()
	g.Annotations["title"] = `"/><evil x="${PITCREW_GAMESERVER_NAME}` + "\x01"
	if err := tmpl.Render(g); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(tmpl.To)
	if err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0"?>
<server-config version="6">
    <server-name value="&#34;/&gt;&lt;evil x=&#34;${PITCREW_GAMESERVER_NAME}` + "\uFFFD" + `"/>
    <motd value="&lt;none&gt;"/>
    <server-port value="7011"/>
    <server-max-players value="8"/>
    <other value="$HOME ${HOME} $${x}"/>
</server-config>
`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("rendered (-want +got):\n%s", diff)
	}
}

func TestATemplateThatFailsLeavesTheFileAsItWas(t *testing.T) {
	dir := t.TempDir()
	tmpl := handover.Template{From: filepath.Join(dir, "in"), To: filepath.Join(dir, "out.xml")}
	if err := tmpl.Render(gameServer()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a template that is not there: %v", err)
	}
	if err := os.WriteFile(tmpl.To, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"${PITCREW_GAMESERVER_LABEL_X} ${PITCREW_GAMESERVER_LABEL_Y}": "no PITCREW_GAMESERVER_LABEL_X, PITCREW_GAMESERVER_LABEL_Y; give a default",
		strings.Repeat("x", 1<<20+1):                                  "larger",
	} {
		if err := os.WriteFile(tmpl.From, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := tmpl.Render(gameServer()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Render of %.40q = %v, want an error about %q", text, err, want)
		}
		if raw, err := os.ReadFile(tmpl.To); err != nil || string(raw) != "old" {
			t.Errorf("after %.40q the file is %.40q, %v", text, raw, err)
		}
	}
	for _, bad := range []string{"", "a", "a=", "=b"} {
		if _, err := handover.ParseTemplate(bad); err == nil {
			t.Errorf("ParseTemplate(%q) = nil, want an error", bad)
		}
	}
}

func ExampleVariables() {
	os.Stdout.Write(handover.File(handover.Variables(sidecar.GameServer{
		Name: "stk-7", Ports: []sidecar.Port{{Name: "game", Port: 7011}}, Labels: map[string]string{"example.com/mode": "soccer"},
	})))
	// Output:
	// PITCREW_GAMESERVER_LABEL_EXAMPLE_COM_MODE='soccer'
	// PITCREW_GAMESERVER_NAME='stk-7'
	// PITCREW_GAMESERVER_PORT='7011'
	// PITCREW_GAMESERVER_PORT_GAME='7011'
}
