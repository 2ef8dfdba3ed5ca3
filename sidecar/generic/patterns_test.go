package generic_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/sidecar/generic"
)

// examples are where the documentation's pattern files are.
const examples = "../../examples/generic"

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func parse(t testing.TB, file string) generic.Patterns {
	t.Helper()
	p, err := generic.Parse([]byte(file))
	if err != nil {
		t.Fatalf("Parse(): %v", err)
	}
	return p
}

func TestTheExampleUnderstandsItsLogAndNoChat(t *testing.T) {
	p := parse(t, string(readFile(t, examples, "minecraft.yaml")))
	var got []generic.Line
	for line := range strings.Lines(string(readFile(t, "testdata", "minecraft.log"))) {
		if l, ok := p.Match([]byte(strings.TrimSuffix(line, "\n"))); ok {
			got = append(got, l)
		}
	}
	player := func(k generic.Kind, name string) generic.Line { return generic.Line{Kind: k, Player: name, Count: -1} }
	want := []generic.Line{
		{Kind: generic.Serving, Count: -1},
		player(generic.Join, "Steve"), player(generic.Join, "Alex"),
		player(generic.Leave, "Steve"), player(generic.Leave, "Alex"),
		{Kind: generic.Stopped, Count: -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the log says (-want +got):\n%s", diff)
	}
	if _, ok := p.Match([]byte("[12:00:00] [Server thread/WARN]: **** FAILED TO BIND TO PORT!")); !ok {
		t.Error("a port that is taken is not understood")
	}
}

func TestTheDocumentationQuotesTheExample(t *testing.T) {
	example := "```yaml\n" + string(readFile(t, examples, "minecraft.yaml")) + "```\n"
	if !strings.Contains(string(readFile(t, "../../docs/games.md")), example) {
		t.Error("docs/games.md does not quote examples/generic/minecraft.yaml as it is")
	}
}

// all uses every key, with names that may be anything.
const all = `
prefix: '^\d+ '
fatal: 'fatal .+'
serving: ['up on (?P<track>\S+)$', 'up$']
stopped: 'down$'
join: '\+ (?P<player>.*)$'
leave: '- (?P<player>.*)$'
match_starting: 'loading$'
match_started: 'go (?P<track>\S+) (?P<mode>\S+)$'
match_ended: 'result$'
lobby: 'lobby$'
players: 'count (?P<count>.+)$'
track: 'track (?P<track>.*)$'
mode: 'mode (?P<mode>.*)$'
`

func TestMatch(t *testing.T) {
	p := parse(t, all)
	long := strings.Repeat("ä", 5000)
	for text, want := range map[string]generic.Line{
		"1 up":                    {Kind: generic.Serving, Count: -1},
		"1 up on abyss":           {Kind: generic.Serving, Count: -1, Track: "abyss"},
		"1 down":                  {Kind: generic.Stopped, Count: -1},
		"1 + ":                    {Kind: generic.Join, Count: -1},
		"1 + 1 down":              {Kind: generic.Join, Count: -1, Player: "1 down"},
		"1 + Eve\r":               {Kind: generic.Join, Count: -1, Player: "Eve\r"},
		"1 + \xff\xfe":            {Kind: generic.Join, Count: -1, Player: "\ufffd"},
		"1 + " + long:             {Kind: generic.Join, Count: -1, Player: long[:generic.MaxName]},
		"1 + x" + long:            {Kind: generic.Join, Count: -1, Player: "x" + long[:generic.MaxName-2]},
		"1 - - Eve":               {Kind: generic.Leave, Count: -1, Player: "- Eve"},
		"1 go abyss soccer":       {Kind: generic.MatchStarted, Count: -1, Track: "abyss", Mode: "soccer"},
		"1 count 0":               {Kind: generic.Players},
		"1 count 1000":            {Kind: generic.Players, Count: 1000},
		"1 count 1001":            {}, // beyond belief
		"1 count -1":              {},
		"1 count ٣":               {},
		"1 count 999999999999999": {},
		"1 fatal + Eve":           {Kind: generic.Fatal, Count: -1},
		" 1 up":                   {},
		"":                        {},
		"<Eve> 1 up":              {},
	} {
		got, ok := p.Match([]byte(text))
		if ok != (want != generic.Line{}) {
			t.Errorf("Match(%.40q) is understood: %t", text, ok)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Match(%.40q) (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseReportsAllFaultsTogether(t *testing.T) {
	_, err := generic.Parse([]byte(`joins: 'x'
serving: 'up'
stopped: '^('
join: '^joined (?P<name>.*)$'
track: '^(?P<track>.*)$'
track: '^again (?P<track>.+)$'
mode: [a: b, '']
lobby: '^lobby$'
players: '^(?:(?P<count>\d+)|none)$'
query:
  port: 70000
  hex: abc
  answer: 'x(?P<player>.)'
  retries: 3
`))
	want := `line 1: "joins" is not a key: use one of fatal, join, leave, lobby, match_ended, match_started, match_starting, mode, players, prefix, query, serving, stopped, track
line 2: serving: it matches anywhere in a line: begin it with ^, or with ^.* if it may really be anywhere: players choose parts of lines
line 3: stopped: error parsing regexp: missing closing ): ` + "`^(`" + `: patterns are RE2, as in https://pkg.go.dev/regexp/syntax
line 4: join: nobody knows a group "name" here: it may have id, player
line 4: join: the group player is missing: write (?P<player>...)
line 4: join without leave: the players would never be right: give join and leave, or players alone
line 5: track: it matches an empty text
line 6: track is given twice: a key may have a list of patterns
line 7: mode: a text is wanted: quote it with single quotes
line 7: mode: a text is wanted: quote it with single quotes
line 8: lobby alone: a drain would not know that a match is on: give match_starting or match_started
line 11: query.port: "70000" is no port: use 1 to 65535
line 12: query.hex: "abc" is no datagram: write pairs of hexadecimal digits, at most 1400
line 13: query.answer: it matches anywhere in a line: begin it with ^, or with ^.* if it may really be anywhere: players choose parts of lines
line 13: query.answer: nobody knows a group "player" here: it may have count, mode, track
line 14: query."retries" is not a key: use one of answer, hex, port, text`
	if err == nil {
		t.Fatal("Parse() = nil, want faults")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"":                                  "the file is empty",
		"# nothing\n":                       "the file",
		"- serving":                         "no mapping",
		"serving: *x":                       "unknown anchor",
		"prefix: '^x'":                      "no pattern",
		"{}":                                "no pattern",
		"serving: '^a'\n---\nserving: '^b'": "more than one document",
		"serving: []":                       "the list is empty",
		"serving:":                          "a text is wanted",
		"serving: {a: b}":                   "a text is wanted",
		"serving: '^a|b'":                   "matches anywhere",
		"prefix: '^a'\nserving: '^b'":       "leave out its ^",
		"prefix: 'a'\nserving: 'b'":         "prefix: it matches anywhere",
		"prefix: '^(?P<x>a)'\nserving: 'b'": "nobody knows a group",
		"prefix: '^a'\nserving: 'b)(c'":     "unexpected )",
		"leave: '^(?P<player>.*)x$'":        "leave without join",
		"match_started: '^a$'":              "a match begins and never ends",
		"join: '^(?P<player>.)a'\nleave: '^(?P<id>.)b'": "does not call players",
		"query: 'status'":                                    "query is no mapping",
		"query: {text: a}":                                   "its answer is missing",
		"query: {text: a, hex: 'ff', answer: '^a'}":          "both given",
		"query: {text: " + strings.Repeat("a", 2000) + "}":   "missing",
		"<<: {serving: '^a'}":                                "is not a key",
		"? {a: b}\n: c":                                      "is not a key",
		"serving: !!binary aGk=":                             "anywhere",
		"serving: '^" + strings.Repeat("(a{1,100}", 3) + "'": "regexp",
	} {
		if _, err := generic.Parse([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.60q) = %v, want %q", file, err, want)
		}
	}
}

func TestParseTakes(t *testing.T) {
	for _, file := range []string{
		"serving: '^a|^b'", "serving: '(?m)^a'", "serving: '(?:(^a))'", "prefix: '^'\nserving: a", "serving: &x '^a'\nstopped: *x",
		"players: '^(?P<count>\\d+)$'", "match_ended: '^over$'", "query: {text: ping, answer: '^pong$', port: 1}",
	} {
		if _, err := generic.Parse([]byte(file)); err != nil {
			t.Errorf("Parse(%q) = %v", file, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"minecraft.yaml", "getinfo.yaml"} {
		f.Add(readFile(f, examples, name))
	}
	f.Add([]byte(all))
	f.Add([]byte("serving: &x ['^a', '^b(']\nstopped: *x\nquery: {hex: 'zz', answer: '^(?P<count>.)'}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := generic.Parse(file)
		if err != nil {
			if err.Error() == "" || p.ReadsLog() {
				t.Errorf("Parse(%q) = %+v, %v", file, p, err)
			}
			return
		}
		checkLine(t, p, []byte("a line"))
		if p.Has(generic.Join) != p.Has(generic.Leave) {
			t.Errorf("Parse(%q) has one of join and leave", file)
		}
	})
}

func FuzzMatch(f *testing.F) {
	for line := range strings.Lines(string(readFile(f, "testdata", "minecraft.log"))) {
		f.Add([]byte(strings.TrimSuffix(line, "\n")))
	}
	for _, line := range []string{"1 + \xff", "1 - " + strings.Repeat("é", 200), "1 count 12", "1 go a b", "1 fatal \x1b[31m", "1 up on x"} {
		f.Add([]byte(line))
	}
	patterns := []generic.Patterns{parse(f, all), parse(f, string(readFile(f, examples, "minecraft.yaml")))}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, p := range patterns {
			checkLine(t, p, line)
		}
	})
}

// checkLine holds what a [generic.Line] promises.
func checkLine(t *testing.T, p generic.Patterns, text []byte) {
	t.Helper()
	l, ok := p.Match(text)
	if !ok && l != (generic.Line{}) || ok && !p.Has(l.Kind) || l.Count < -1 || l.Count > generic.MaxPlayers {
		t.Errorf("Match(%q) = %+v, %t", text, l, ok)
	}
	for _, s := range []string{l.Player, l.ID, l.Track, l.Mode} {
		if len(s) > generic.MaxName || !utf8.ValidString(s) {
			t.Errorf("Match(%q) has %q", text, s)
		}
	}
}
