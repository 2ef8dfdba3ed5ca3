package stk_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pitcrew-dev/pitcrew/sidecar/stk"
)

const date = "Mon Nov 23 16:49:15 2026 "

var addr = netip.MustParseAddrPort("127.0.0.1:46902")

func TestParse(t *testing.T) {
	for line, want := range map[string]any{
		date + "[info   ] STKHost: Server port is 2759":                                           stk.ServerPort{Port: 2759},
		date + "[info   ] STKHost: Server port is 70000":                                          stk.Unknown{},
		date + "[warn   ] Network: 4080 port is in used, use another port":                        stk.PortTaken{Port: 4080},
		date + "[info   ] STKHost: Listening has been started.":                                   stk.Listening{},
		date + "[info   ] STKHost: Listening has been stopped.":                                   stk.NotListening{},
		date + "[verbose  ] STKHost: Received LAN server query":                                   stk.Query{},
		date + "[warn   ] STKHost: No direct socket available, this server may not be connected":  stk.NoQueryPort{},
		date + "[info   ] STKHost: 127.0.0.1:46902 has just connected. There are now 1 peers.":    stk.Known{},
		date + "[info   ] STKHost: 127.0.0.1:46902 has just disconnected. There are now 0 peers.": stk.PeerLeft{Addr: addr},
		date + "[info   ] STKHost: nobody has just disconnected. There are now 0 peers.":          stk.Known{},
		date + "[info   ] ServerLobbyRoom: Starting the race loading.":                            stk.RaceLoading{},
		date + "[info   ] ServerLobby: Max ping from peers: 12, jitter tolerance: 100":            stk.RaceStarted{},
		date + "[info   ] ServerLobby: The game is considered finished.":                          stk.RaceFinished{},
		date + "[info   ] ServerLobby: Resetting the server to its initial state.":                stk.LobbyReset{},
		date + "[info   ] ServerLobby: Alice disconnected":                                        stk.Known{},
		date + "[info   ] ServerLobby: Something that version 9 says.":                            stk.Unknown{},
		date + "[warn   ] Material: Cannot determine texture full path: x.png":                    stk.Known{},
		"[fatal  ] FileManager: Set $SUPERTUXKART_DATADIR to point to the data directory.":        stk.Fatal{Text: "Set $SUPERTUXKART_DATADIR to point to the data directory."},
		"[info   ] STKHost: Server port is 1":                                                     stk.ServerPort{Port: 1},
		"":                                                                                        stk.Known{},
		"STKHost: Server port is 1":                                                               stk.Known{},
		"x" + date + "[info   ] STKHost: Server port is 1":                                        stk.Known{},
		"Mon Nov 99 16:49:15 2026 [info   ] STKHost: Server port is 1":                            stk.Known{},
		date + "[shout  ] STKHost: Server port is 1":                                              stk.Known{},
	} {
		if diff := cmp.Diff(want, stk.Parse([]byte(line)), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", line, diff)
		}
	}
}

// hostile are names that imitate the lines themselves.
var hostile = []string{
	"", " ", "Bot 1", "Alice with online id 0 from 1.2.3.4:5 with AI.", "x with online id 7 from 9.9.9.9:9 with SuperTuxKart/1.4 (Linux)",
	"STKHost: Listening has been started.", date + "[info   ] STKHost: Server port is 1", "The game is considered finished.",
	"New player Eve with online id 0 from 6.6.6.6:6 with AI", "\x1b[31mred\x1b[0m", "\xff\xfe", strings.Repeat("n", 10_000), " disconnected", "There are now 0 peers.",
	" with online id ", " from ", ".", "] [fatal  ] x: y",
}

func TestANameCannotBeTakenForMore(t *testing.T) {
	for _, name := range hostile {
		for _, version := range []string{"AI", "SuperTuxKart/1.4 (Linux)"} {
			line := fmt.Sprintf("%s[info   ] ServerLobby: New player %s with online id 12 from 127.0.0.1:46902 with %s.", date, name, version)
			want := stk.PlayerJoined{Name: name, OnlineID: 12, Addr: addr, AI: version == "AI"}
			if diff := cmp.Diff(any(want), stk.Parse([]byte(line)), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Errorf("Parse(%.200q) (-want +got):\n%s", line, diff)
			}
		}
		for _, format := range []string{"[info   ] ServerLobby: %s disconnected", "[info   ] ServerLobby: Kick %s"} {
			line := date + fmt.Sprintf(format, name)
			switch got := stk.Parse([]byte(line)).(type) {
			case stk.Known, stk.Unknown:
			default:
				t.Errorf("Parse(%.200q) = %#v: a name made it that", line, got)
			}
		}
	}
}

// transcripts are what real servers wrote (testdata/README.md), with what Parse has to find in it.
var transcripts = map[string]map[string]int{
	"people-and-bots": {"stk.PlayerJoined": 4, "stk.RaceFinished": 2, "stk.Listening": 1, "stk.PeerLeft": 3},
	"join-leave":      {"stk.Listening": 1, "stk.NotListening": 1},
	"lobby":           {"stk.ServerPort": 1, "stk.PlayerJoined": 2, "stk.PeerLeft": 1, "stk.RaceLoading": 0},
	"bots-race":       {"stk.PlayerJoined": 2, "stk.RaceLoading": 1, "stk.RaceStarted": 1, "stk.RaceFinished": 1, "stk.PeerLeft": 1},
	"mid-race-join":   {"stk.PlayerJoined": 1, "stk.RaceStarted": 1, "stk.RaceFinished": 0, "stk.PeerLeft": 2},
	"grand-prix":      {"stk.PlayerJoined": 2, "stk.RaceLoading": 3, "stk.RaceStarted": 3, "stk.RaceFinished": 2, "stk.PeerLeft": 1},
	"soccer":          {"stk.PlayerJoined": 2, "stk.RaceStarted": 1, "stk.PeerLeft": 1},
	"kick":            {"stk.PlayerJoined": 2, "stk.PeerLeft": 2},
	"sql":             {"stk.PlayerJoined": 0, "stk.RaceStarted": 1, "stk.PeerLeft": 1},
	"not-admitted":    {"stk.PlayerJoined": 0, "stk.Listening": 1},
}

func linesOf(tb testing.TB, transcript string) []string {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", transcript+".log"))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

func TestRealTranscriptsAreUnderstood(t *testing.T) {
	for name, want := range transcripts {
		got := map[string]int{}
		for _, line := range linesOf(t, name) {
			what := stk.Parse([]byte(line))
			got[fmt.Sprintf("%T", what)]++
			if _, unknown := what.(stk.Unknown); unknown {
				t.Errorf("%s: not understood: %q", name, line)
			}
		}
		for kind, n := range want {
			if got[kind] != n {
				t.Errorf("%s: %d of %s, want %d", name, got[kind], kind, n)
			}
		}
	}
}

// A name may be any line that a server ever wrote.
func TestANameThatIsALineOfTheLogIsAName(t *testing.T) {
	for name := range transcripts {
		for _, line := range linesOf(t, name) {
			for _, hostile := range []string{line, strings.TrimSpace(line[strings.LastIndexByte(line, ']')+1:])} {
				joined := fmt.Sprintf("%s[info   ] ServerLobby: New player %s with online id 3 from %s with AI.", date, hostile, addr)
				if got, ok := stk.Parse([]byte(joined)).(stk.PlayerJoined); !ok || got.Name != hostile || got.Addr != addr {
					t.Errorf("Parse(%q) = %+v", joined, got)
				}
				switch got := stk.Parse(fmt.Appendf(nil, "%s[info   ] ServerLobby: %s disconnected", date, hostile)).(type) {
				case stk.Known, stk.Unknown:
				default:
					t.Errorf("%q disconnected = %#v: a name made it that", hostile, got)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for name := range transcripts {
		for _, line := range linesOf(f, name) {
			f.Add([]byte(line))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if p, ok := stk.Parse(line).(stk.PlayerJoined); ok {
			if !p.Addr.IsValid() || !strings.Contains(string(line), "New player "+p.Name+" with online id ") {
				t.Errorf("Parse(%q) = %+v", line, p)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var all [][]byte
	for _, line := range linesOf(b, "people-and-bots") {
		all = append(all, []byte(line))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, line := range all {
			stk.Parse(line)
		}
	}
}
