package pipeline_test

import (
	"strings"
	"testing"
)

func TestPathsThatTheFileClaimsTwice(t *testing.T) {
	const head = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: x}
platforms: [linux/amd64, linux/arm64]
repository: x
phases:
`
	const a, b, folder = `{files: [{path: /a, content: ""}]}`, `{files: [{path: /b, content: ""}]}`, `{files: [{path: /a, dir: true}]}`
	for _, c := range []struct {
		name, base, server, replaces string
		fault                        string // "" for none
	}{
		{"two files in two phases", a, a, "", `phases.server.sources[0].files[0].path: "/a" is also written by phases.base.sources[0].files[0].path`},
		{"a file that is said to replace", a, a, "a", ""},
		{"replaces that is about another file", a, a, "b", `"/a" is also written`},
		{"two files in one phase, where replaces does not help", b, a + "," + a, "a", `"/a" is also written by phases.server.sources[0]`},
		{"a destination that makes the paths equal", `{files: [{path: /x/a, content: ""}]}`, `{files: [{path: /a, link: b}], destination: /x}`, "", `"/x/a" is also written`},
		{"files for different platforms", `{files: [{path: /a, link: b}], platforms: [linux/amd64]}`, `{files: [{path: /a, link: b}], platforms: [linux/arm64]}`, "", ""},
		{"a file that is excluded", `{files: [{path: /a, link: b}, {path: /b, link: c}], exclude: [a]}`, a, "", ""},
		{"the same folder", folder, `{files: [{path: /a, dir: true, mode: "0755"}], owner: "0:0"}`, "", ""},
		{"folders with different modes", folder, `{files: [{path: /a, dir: true, mode: "01777"}]}`, "", `"/a" is also written`},
		{"a folder and a file", folder, a, "", `"/a" is also written`},
		{"two dirs with one destination", `{dir: {path: x}, destination: /g}`, `{archive: {path: y}, destination: /g}`, "", `phases.server.sources[0].destination: "/g" is also written by phases.base.sources[0].destination`},
		{"two dirs of which one replaces", `{dir: {path: x}, destination: /g}`, `{dir: {path: y}, destination: /g}`, "g/**", ""},
		{"two dirs of which one is filtered", `{dir: {path: x}, destination: /g}`, `{dir: {path: y}, destination: /g, include: [z]}`, "", ""},
		{"two dirs at the root", `{dir: {path: x}}`, `{dir: {path: y}}`, "", ""},
		{"two dirs in one phase", b, `{dir: {path: x}, destination: /g}, {dir: {path: y}, destination: /g}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := head + "  base: {sources: [" + c.base + "]}\n  server: {sources: [" + c.server + "]"
			if c.replaces != "" {
				text += ", replaces: [" + c.replaces + "]"
			}
			_, err := parse(t, text+"}\n", nil)
			switch {
			case c.fault == "" && err != nil:
				t.Errorf("Parse: %v, want no error", err)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("Parse: %v, want %s", err, c.fault)
			}
		})
	}
}
