package stk_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/sidecar/stk"
)

// answers are real ones.
var answers = map[string]stk.Info{
	"00000006" + "0453656564" + "0300" + "1e61" + "00" + "03" + "00" + "00" + "00": {
		Version: 6, Name: "Seed", MaxPlayers: 3, Port: 7777, Mode: 3,
	},
	"00000006" + "0453656564" + "0805" + "0ac7" + "00" + "03" + "00" + "01" + "0a6c69676874686f757365": {
		Version: 6, Name: "Seed", MaxPlayers: 8, Players: 5, Port: 2759, Mode: 3, Started: true, Track: "lighthouse",
	},
}

func TestDecode(t *testing.T) {
	for text, want := range answers {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := stk.Decode(raw)
		if err != nil {
			t.Fatalf("Decode(%s): %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Decode(%s) (-want +got):\n%s", text, diff)
		}
		for n := range raw {
			if _, err := stk.Decode(raw[:n]); !errors.Is(err, stk.ErrAnswer) {
				t.Errorf("Decode of the first %d bytes of %s: %v, want ErrAnswer", n, text, err)
			}
		}
		if _, err := stk.Decode(append(raw, 0)); !errors.Is(err, stk.ErrAnswer) {
			t.Errorf("Decode of one byte more: %v, want ErrAnswer", err)
		}
	}
}

// recorded are answers that real servers gave.
func recorded(tb testing.TB) [][]byte {
	tb.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "answers.txt"))
	if err != nil {
		tb.Fatal(err)
	}
	var all [][]byte
	for text := range strings.Lines(string(file)) {
		raw, err := hex.DecodeString(strings.TrimSpace(text))
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, raw)
	}
	return all
}

func TestRealAnswersAreUnderstood(t *testing.T) {
	modes := map[string]int{}
	for _, raw := range recorded(t) {
		i, err := stk.Decode(raw)
		if err != nil || i.Version != 6 || i.Name != "rec" || i.Port != 2759 || i.Players > i.MaxPlayers {
			t.Errorf("Decode(%x) = %+v, %v", raw, i, err)
		}
		modes[i.ModeName()]++
	}
	if modes["race"] < 3 || modes["soccer"] < 2 || modes["gp-race"] < 1 {
		t.Errorf("modes = %v, want race, soccer and a grand prix", modes)
	}
}

func FuzzDecode(f *testing.F) {
	for _, raw := range recorded(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		i, err := stk.Decode(raw)
		if err == nil && len(raw) != 4+1+len(i.Name)+2+2+4+1+len(i.Track) {
			t.Errorf("Decode(%x) = %+v", raw, i)
		}
	})
}

func TestAskGivesUpWithItsContext(t *testing.T) {
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(50*time.Millisecond, cancel).Stop()
	if _, err := stk.Ask(ctx, mute.LocalAddr().String()); err == nil {
		t.Error("Ask() of a server that says nothing = nil, want an error")
	}
}
