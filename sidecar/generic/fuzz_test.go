package generic_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/generic"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

// FuzzLog lets a server of which only the log is known write anything, and holds that what is told of players follows from its
// lines alone: as many as came and did not leave, each with an ID of its own.
func FuzzLog(f *testing.F) {
	f.Add([]byte("1 up\n1 + Bob\n1 + Bob\n1 - Bob\n1 - Nobody\n1 + \xff\n"))
	f.Add([]byte("1 + a\n1 down\n1 - a\n1 count 7\n1 + b\r\n1 count 1001\n"))
	f.Add([]byte("1 loading\n1 go x y\n1 result\n1 fatal z\n1 lobby\n+ c\n1 + 1 - d\n"))
	f.Add(bytes.ReplaceAll(readFile(f, "testdata", "minecraft.log"), []byte("["), []byte("1 + [")))
	patterns := parse(f, all)
	k := newKernel(f)
	k.has(socket.UDP, 0)
	f.Fuzz(func(t *testing.T, log []byte) {
		path := filepath.Join(t.TempDir(), "log")
		log = append(log, "\n1 up\n"...) // so that it serves in the end
		if err := os.WriteFile(path, log, 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []sidecar.Here
		err := generic.New(generic.Options{Port: port, ProcNet: k.dir, Log: path, Patterns: patterns}).Observe(ctx, func(h sidecar.Happening) {
			if here, ok := h.(sidecar.Here); ok {
				got = append(got, here)
				cancel()
			}
		})
		if err != nil || len(got) != 1 {
			t.Fatalf("Observe(%q) = %v, told %d times who is there, want once", log, err, len(got))
		}
		there, count := follow(patterns, log)
		if n := len(got[0].Players); n != there || got[0].Count != count {
			t.Errorf("%q: %d named, count %d; want %d, %d", log, n, got[0].Count, there, count)
		}
		ids := map[string]bool{}
		for _, p := range got[0].Players {
			if ids[p.ID] || !strings.HasPrefix(p.ID, sidecar.IDPrefix) || !utf8.ValidString(p.Name) || len(p.Name) > generic.MaxName {
				t.Errorf("%q: player %+v", log, p)
			}
			ids[p.ID] = true
		}
	})
}

// follow counts by the simplest rule that could be right: a number for each name.
func follow(p generic.Patterns, log []byte) (there, count int) {
	byName := map[string]int{}
	count = -1
	for line := range bytes.Lines(log) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) > 16<<10 {
			continue
		}
		switch l, _ := p.Match(line); l.Kind {
		case generic.Join:
			if there < generic.MaxPlayers {
				byName[l.Player]++
				there++
			}
		case generic.Leave:
			if byName[l.Player] > 0 {
				byName[l.Player]--
				there--
			}
		case generic.Stopped:
			clear(byName)
			there, count = 0, min(count, 0)
		case generic.Players:
			count = l.Count
		}
	}
	return there, count
}
