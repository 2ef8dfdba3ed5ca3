package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
)

const tracksDir = "usr/share/games/supertuxkart/data/tracks"

// mode is a kind of game, by the number that server_config.xml knows it by.
type mode struct {
	name   string
	number int
	// ends says that bots alone bring the game to its end.
	ends bool
	fits func(track) bool
}

var modes = []mode{
	{"race", 3, true, track.laps},
	{"time trial", 4, true, track.laps},
	{"soccer", 6, false, func(t track) bool { return t.Soccer == "Y" }},
	{"capture the flag", 8, false, func(t track) bool { return t.CTF == "Y" }},
}

// track is what track.xml says of where it can be played.
type track struct {
	Internal string `xml:"internal,attr"`
	Arena    string `xml:"arena,attr"`
	Soccer   string `xml:"soccer,attr"`
	CTF      string `xml:"ctf,attr"`
}

func (t track) laps() bool { return t.Internal != "Y" && t.Arena != "Y" && t.Soccer != "Y" }

// round is one game.
type round struct {
	mode  mode
	track string
}

// calendar lists every mode with every track that it can be played on.
func calendar(dir string) ([]round, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var rounds []round
	for _, m := range modes {
		for _, e := range entries {
			raw, err := os.ReadFile(filepath.Join(dir, e.Name(), "track.xml"))
			if err != nil {
				return nil, err
			}
			var t track
			if err := xml.Unmarshal(raw, &t); err != nil {
				return nil, fmt.Errorf("track %s: %w", e.Name(), err)
			}
			if m.fits(t) {
				rounds = append(rounds, round{m, e.Name()})
			}
		}
	}
	return rounds, nil
}
