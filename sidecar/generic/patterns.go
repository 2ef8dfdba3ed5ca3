package generic

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is what a line of the log says: a key of the pattern file.
type Kind string

// The kinds, in the order in which they are tried: the first pattern that matches decides.
const (
	// Fatal is why the game will never serve. It counts as that only while it does not serve.
	Fatal Kind = "fatal"
	// Serving says that players can come, Stopped that they no longer can and that those who were there are gone.
	Serving Kind = "serving"
	Stopped Kind = "stopped"
	// Join and Leave are of one player.
	Join  Kind = "join"
	Leave Kind = "leave"
	// MatchStarting, MatchStarted and MatchEnded are the steps of a match; Lobby is when all are back.
	MatchStarting Kind = "match_starting"
	MatchStarted  Kind = "match_started"
	MatchEnded    Kind = "match_ended"
	Lobby         Kind = "lobby"
	// Players is how many players there are, Track and Mode what they play.
	Players Kind = "players"
	Track   Kind = "track"
	Mode    Kind = "mode"
)

var kinds = []Kind{Fatal, Serving, Stopped, Join, Leave, MatchStarting, MatchStarted, MatchEnded, Lobby, Players, Track, Mode}

// Line is what a line, or an answer, says. Fields are empty where it has no such group, and Count is -1.
type Line struct {
	Kind Kind
	// Player is a name and ID what the game calls the player, at most [MaxName] bytes of valid UTF-8 each.
	Player, ID  string
	Count       int
	Track, Mode string
}

// Bounds of what strangers can make a sidecar remember.
const (
	// MaxName is how many bytes of a name, a track or a mode are kept.
	MaxName = 256
	// MaxPlayers is how many players are known at once, and the highest count that is believed.
	MaxPlayers = 1000
)

// Patterns are what a file says. The zero Patterns understand no line and ask nothing.
type Patterns struct {
	lines map[Kind][]*regexp.Regexp
	query *query
}

// Has says that there is a pattern of a kind.
func (p Patterns) Has(k Kind) bool { return len(p.lines[k]) > 0 }

// ReadsLog says that there is a pattern of any kind.
func (p Patterns) ReadsLog() bool { return len(p.lines) > 0 }

// KnowsPlayers says that there is a way to learn how many players there are.
func (p Patterns) KnowsPlayers() bool {
	return p.Has(Join) || p.Has(Players) || p.query != nil && slices.Contains(p.query.answer.SubexpNames(), groupCount)
}

// Match says what a line of the log says; ok is false if no pattern matches it.
func (p Patterns) Match(text []byte) (l Line, ok bool) {
	for _, k := range kinds {
		for _, re := range p.lines[k] {
			if l, ok := extract(re, text); ok {
				l.Kind = k
				return l, true
			}
		}
	}
	return Line{}, false
}

// extract applies one pattern. A count that is no number, or beyond belief, is no match.
func extract(re *regexp.Regexp, text []byte) (Line, bool) {
	m := re.FindSubmatch(text)
	if m == nil {
		return Line{}, false
	}
	l := Line{Count: -1}
	for i, name := range re.SubexpNames() {
		if m[i] == nil {
			continue
		}
		switch name {
		case groupPlayer:
			l.Player = clean(m[i])
		case groupID:
			l.ID = clean(m[i])
		case groupTrack:
			l.Track = clean(m[i])
		case groupMode:
			l.Mode = clean(m[i])
		case groupCount:
			n, err := strconv.ParseUint(string(m[i]), 10, 31)
			if err != nil || n > MaxPlayers {
				return Line{}, false
			}
			l.Count = int(n)
		}
	}
	return l, true
}

// clean makes short, valid UTF-8 of anything. What is the same before is the same afterwards.
func clean(text []byte) string {
	s := strings.ToValidUTF8(string(text[:min(len(text), MaxName)]), string(utf8.RuneError))
	for len(s) > MaxName {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return s
}
