package generic

import (
	"regexp"
	"regexp/syntax"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Names of groups.
const (
	groupPlayer = "player"
	groupID     = "id"
	groupCount  = "count"
	groupTrack  = "track"
	groupMode   = "mode"
)

// wants are the groups that a pattern may have, and those of which it needs one.
type wants struct{ may, oneOf []string }

var (
	match  = wants{may: []string{groupTrack, groupMode}}
	groups = map[Kind]wants{
		Join: {oneOf: []string{groupPlayer, groupID}}, Leave: {oneOf: []string{groupPlayer, groupID}},
		Players: {oneOf: []string{groupCount}, may: match.may},
		Track:   {oneOf: []string{groupTrack}, may: []string{groupMode}}, Mode: {oneOf: []string{groupMode}, may: []string{groupTrack}},
		Serving: match, MatchStarting: match, MatchStarted: match, MatchEnded: match, Lobby: match,
	}
	answerGroups = wants{may: []string{groupCount, groupTrack, groupMode}}
)

const anchorHint = "begin it with ^, or with ^.* if it may really be anywhere: players choose parts of lines"

// compile makes a pattern of a text and checks it; nil, and a fault was noted, if it is not good.
func (c *checker) compile(line int, path, text string, w wants) *regexp.Regexp {
	before := len(c.faults)
	if c.prefix != "" {
		if tree, err := syntax.Parse(text, syntax.Perl); err == nil && anchored(tree) {
			c.fault(line, "leave out its ^", "%s: it goes on where the prefix ended", path)
		}
	}
	// By itself first, so that a parenthesis too many cannot leave the group around it.
	re, err := regexp.Compile(text)
	if err == nil && c.prefix != "" {
		re, err = regexp.Compile(c.prefix + "(?:" + text + ")")
	}
	if err != nil {
		c.fault(line, "patterns are RE2, as in https://pkg.go.dev/regexp/syntax", "%s: %v", path, err)
		return nil
	}
	if tree, err := syntax.Parse(re.String(), syntax.Perl); err == nil && !anchored(tree) {
		c.fault(line, anchorHint, "%s: it matches anywhere in a line", path)
	}
	if re.Match(nil) {
		c.fault(line, "", "%s: it matches an empty text", path)
	}
	c.named(line, path, re, w)
	if len(c.faults) > before {
		return nil
	}
	return re
}

// named checks the groups of a pattern.
func (c *checker) named(line int, path string, re *regexp.Regexp, w wants) {
	has := len(w.oneOf) == 0
	for _, name := range re.SubexpNames() {
		switch {
		case name == "":
		case slices.Contains(w.oneOf, name):
			has = true
		case !slices.Contains(w.may, name):
			hint := "use (?:...) for a group without a name"
			if known := slices.Concat(w.oneOf, w.may); len(known) > 0 {
				hint = "it may have " + keyList(known)
			}
			c.fault(line, hint, "%s: nobody knows a group %q here", path, name)
		}
	}
	if !has {
		c.fault(line, "write (?P<"+w.oneOf[0]+">...)", "%s: the group %s is missing", path, w.oneOf[0])
	}
}

// anchored says that whatever a pattern matches begins where the text does.
func anchored(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpBeginLine: // a line of the log has only one beginning
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return anchored(re.Sub[0])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !anchored(sub) })
	default:
		return false
	}
}

// takePrefix takes what every line's pattern begins with.
func (c *checker) takePrefix(n *yaml.Node) {
	text, ok := c.text(n, "prefix")
	if !ok {
		return
	}
	c.prefix = "^" // so that the patterns are not blamed for it
	re, err := regexp.Compile(text)
	if err != nil {
		c.fault(n.Line, "patterns are RE2, as in https://pkg.go.dev/regexp/syntax", "prefix: %v", err)
		return
	}
	if tree, err := syntax.Parse(text, syntax.Perl); err == nil && !anchored(tree) {
		c.fault(n.Line, anchorHint, "prefix: it matches anywhere in a line")
		return
	}
	c.named(n.Line, "prefix", re, wants{})
	c.prefix = "(?:" + text + ")"
}

// sameGroup says that joins and leaves have to call players by the same: their id, where all patterns have one, or their name.
func (c *checker) sameGroup() {
	if len(c.lines[Join]) == 0 || len(c.lines[Leave]) == 0 {
		return
	}
	all := slices.Concat(c.lines[Join], c.lines[Leave])
	for _, group := range []string{groupID, groupPlayer} {
		if !slices.ContainsFunc(all, func(re *regexp.Regexp) bool { return re.SubexpIndex(group) < 0 }) {
			return
		}
	}
	c.fault(c.at[string(Leave)], "let all of them have the group player, or all of them id", "leave: it does not call players what join calls them")
}
