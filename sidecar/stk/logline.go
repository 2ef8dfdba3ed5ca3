package stk

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Types of what a line of the log says; those without fields say just that.
type (
	// ServerPort is the port that the server took, which need not be the one that it was told to take.
	ServerPort struct{ Port uint16 }
	// PortTaken says that the port it was told to take was not to be had.
	PortTaken struct{ Port uint16 }
	// Listening says that players can come.
	Listening struct{}
	// NotListening says that they no longer can.
	NotListening struct{}
	// NoQueryPort says that another server in this network has the port of the LAN query.
	NoQueryPort struct{}
	// PeerLeft says that a peer, which may have had several players or none, is gone.
	PeerLeft struct{ Addr netip.AddrPort }
	// PlayerJoined is a player whom the server has validated. Name may be anything.
	PlayerJoined struct {
		Name     string
		OnlineID uint32
		Addr     netip.AddrPort
		AI       bool
	}
	// RaceLoading is the beginning of a match.
	RaceLoading struct{}
	// RaceStarted is when the karts go.
	RaceStarted struct{}
	// RaceFinished is when there is a result.
	RaceFinished struct{}
	// LobbyReset is when all are back in the lobby.
	LobbyReset struct{}
	// Fatal is why the game is about to end.
	Fatal struct{ Text string }
	// Known is a line that says nothing of use.
	Known struct{}
	// Query is a line that our own question causes.
	Query struct{}
	// Unknown is a line that no version we know writes: many of them mean that an update changed the log.
	Unknown struct{}
)

// prefixes are what other lines begin with that the server's two talkative parts write in the versions we know. What they
// write besides is unknown; other parts of the game are free to chatter.
var prefixes = map[string][]string{
	"STKHost": {"Host initialized.", "Invalid packet before validation.", "Direct socket", "Received unknown command", "Could not", "Kick", "Stopping"},
	"ServerLobby": {
		"Message of type ", "Peer ", "End of game message sent", "Player refused", "Kick ", "Lobby", "Resetting", "Not ", "Unknown", "Command ",
		"Server ", "Live join", "Cannot ", "No ", "Invalid ", "Player ", "Updating", "Database", "Table named ", "Max ping to ", "Terminating", "Returning", "Started",
	},
	"ServerLobbyRoom": {"Server selected", "Server will"},
}

// Parse says what one line of the log means. It looks only at the fixed parts of lines, from both ends, so that a name inside of
// one line cannot make it another. (A name that contains a line's end makes a line of its own; no rule can see that, and the
// count that the server answers decides.)
func Parse(line []byte) any {
	level, who, text, ok := split(line)
	if !ok {
		return Known{} // the graphics library's, an empty one, or the rest of a text of several lines
	}
	if level == "fatal" {
		return Fatal{Text: string(text[:min(len(text), 300)])}
	}
	var what any
	switch string(who) {
	case "STKHost":
		what = hostLine(text)
	case "ServerLobby":
		what = lobbyLine(text)
	case "ServerLobbyRoom":
		if string(text) == "Starting the race loading." {
			what = RaceLoading{}
		}
	case "Network":
		if rest, ok := bytes.CutSuffix(text, []byte(" port is in used, use another port")); ok {
			if p, ok := number(rest, 16); ok {
				what = PortTaken{Port: uint16(p)}
			}
		}
	}
	switch {
	case what != nil:
		return what
	case unheardOf(string(who), text):
		return Unknown{}
	}
	return Known{}
}

func unheardOf(who string, text []byte) bool {
	begins, talkative := prefixes[who]
	if !talkative || bytes.HasSuffix(text, []byte(" disconnected")) || bytes.HasSuffix(text, []byte(" peers.")) {
		return false
	}
	return !slices.ContainsFunc(begins, func(p string) bool { return bytes.HasPrefix(text, []byte(p)) })
}

func hostLine(text []byte) any {
	switch {
	case string(text) == "Listening has been started.":
		return Listening{}
	case string(text) == "Listening has been stopped.":
		return NotListening{}
	case string(text) == "Received LAN server query":
		return Query{}
	case bytes.HasPrefix(text, []byte("No direct socket available")):
		return NoQueryPort{}
	}
	if rest, ok := bytes.CutPrefix(text, []byte("Server port is ")); ok {
		if p, ok := number(rest, 16); ok {
			return ServerPort{Port: uint16(p)}
		}
	}
	addr, rest, _ := bytes.Cut(text, []byte(" has just disconnected. There are now "))
	if n, ok := bytes.CutSuffix(rest, []byte(" peers.")); ok {
		if _, ok := number(n, 32); ok {
			if a, err := netip.ParseAddrPort(string(addr)); err == nil {
				return PeerLeft{Addr: a}
			}
		}
	}
	return nil
}

func lobbyLine(text []byte) any {
	switch string(text) {
	case "The game is considered finished.":
		return RaceFinished{}
	case "Resetting the server to its initial state.":
		return LobbyReset{}
	}
	if bytes.HasPrefix(text, []byte("Max ping from peers: ")) {
		return RaceStarted{}
	}
	if rest, ok := bytes.CutPrefix(text, []byte("New player ")); ok {
		if p, ok := joined(rest); ok {
			return p
		}
	}
	return nil
}

// joined takes "NAME with online id N from ADDR with VERSION." apart. The version is a stranger's, too, but holds no " from ";
// the last place where all fits counts, so that a name may contain the rest of the line.
func joined(text []byte) (PlayerJoined, bool) {
	text, ok := bytes.CutSuffix(text, []byte("."))
	for end := len(text); ok && end > 0; {
		at := bytes.LastIndex(text[:end], []byte(" with online id "))
		if at < 0 {
			break
		}
		if p, ok := rightPart(text[at+len(" with online id "):]); ok {
			p.Name = string(text[:at])
			return p, true
		}
		end = at
	}
	return PlayerJoined{}, false
}

func rightPart(text []byte) (PlayerJoined, bool) {
	id, rest, ok := bytes.Cut(text, []byte(" from "))
	online, isNumber := number(id, 32)
	addr, version, hasVersion := bytes.Cut(rest, []byte(" with "))
	a, err := netip.ParseAddrPort(string(addr))
	if !ok || !isNumber || !hasVersion || err != nil {
		return PlayerJoined{}, false
	}
	return PlayerJoined{OnlineID: uint32(online), Addr: a, AI: string(version) == "AI"}, true
}

// split takes "DATE [level  ] WHO: text" apart; lines before the first clock have no date.
func split(line []byte) (level string, who, text []byte, ok bool) {
	const date = "Mon Jan _2 15:04:05 2006"
	if len(line) > len(date) && line[0] != '[' && line[len(date)] == ' ' {
		if _, err := time.Parse(date, string(line[:len(date)])); err != nil {
			return "", nil, nil, false
		}
		line = line[len(date)+1:]
	}
	if len(line) == 0 || line[0] != '[' {
		return "", nil, nil, false
	}
	end := bytes.IndexByte(line, ']')
	if end < 0 || end > 12 || end+2 > len(line) || line[end+1] != ' ' {
		return "", nil, nil, false
	}
	level = string(bytes.TrimRight(line[1:end], " "))
	switch level {
	case "debug", "verbose", "info", "warn", "error", "fatal":
	default:
		return "", nil, nil, false
	}
	who, text, ok = bytes.Cut(line[end+2:], []byte(": "))
	return level, who, text, ok
}

func number(text []byte, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(string(text), 10, bits)
	return n, err == nil
}
