package generic

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// PatternError is one thing that is wrong with a pattern file.
type PatternError struct {
	// Line is where, 0 if the whole file is meant.
	Line    int
	Message string
	// Hint is the way out; it may be empty.
	Hint string
}

func (f PatternError) Error() string {
	var s strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&s, "line %d: ", f.Line)
	}
	s.WriteString(f.Message)
	if f.Hint != "" {
		s.WriteString(": " + f.Hint)
	}
	return s.String()
}

// Parse reads a pattern file, which docs/games.md describes. Its error joins all faults, each a [PatternError], in the order of their
// lines: what is no key, a pattern that is none or that lacks a group, that does not begin with ^, or that without another one
// would be misleading.
func Parse(file []byte) (Patterns, error) {
	c := checker{lines: map[Kind][]*regexp.Regexp{}, at: map[string]int{}}
	if root := c.document(file); root != nil {
		c.root(root)
	}
	if len(c.faults) > 0 {
		slices.SortStableFunc(c.faults, func(a, b PatternError) int { return cmp.Compare(a.Line, b.Line) })
		var all []error
		for _, f := range c.faults {
			all = append(all, f)
		}
		return Patterns{}, errors.Join(all...)
	}
	return Patterns{lines: c.lines, query: c.query}, nil
}

type checker struct {
	faults []PatternError
	prefix string
	lines  map[Kind][]*regexp.Regexp
	at     map[string]int // keys of the file and their lines
	query  *query
}

func (c *checker) fault(line int, hint, format string, args ...any) {
	c.faults = append(c.faults, PatternError{line, fmt.Sprintf(format, args...), hint})
}

// document is the file's only one, a mapping; nil if there is none.
func (c *checker) document(file []byte) *yaml.Node {
	var doc, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(file))
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		c.fault(0, "give at least one of "+keyList(topKeys), "the file is empty")
		return nil
	case err != nil:
		c.fault(0, "", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		c.fault(max(second.Line, 1), "write one document", "there is more than one document")
		return nil
	}
	root := &doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) > 0 {
		root = doc.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		c.fault(root.Line, "write KEY: PATTERN lines", "the file is no mapping")
		return nil
	}
	return root
}

var topKeys = append([]string{"prefix", "query"}, kindNames()...)

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return names
}

func keyList(keys []string) string { return strings.Join(slices.Sorted(slices.Values(keys)), ", ") }

// mapping calls each with the known keys of a mapping, in order.
func (c *checker) mapping(n *yaml.Node, path string, known []string, each func(key string, value *yaml.Node)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			c.fault(key.Line, "use one of "+keyList(known), "%s%q is not a key", path, key.Value)
		case seen[key.Value]:
			c.fault(key.Line, "a key may have a list of patterns", "%s%s is given twice", path, key.Value)
		default:
			seen[key.Value] = true
			each(key.Value, value)
		}
	}
}

// text is a scalar's; ok is false, and a fault was noted, for anything else.
func (c *checker) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag == "!!null" {
		c.fault(n.Line, "quote it with single quotes", "%s: a text is wanted", path)
		return "", false
	}
	return n.Value, true
}

func (c *checker) root(n *yaml.Node) {
	values := map[string]*yaml.Node{}
	c.mapping(n, "", topKeys, func(key string, value *yaml.Node) {
		values[key], c.at[key] = value, value.Line
	})
	if v := values["prefix"]; v != nil {
		c.takePrefix(v)
	}
	for _, k := range kinds {
		if v := values[string(k)]; v != nil {
			c.kind(k, v)
		}
	}
	if v := values["query"]; v != nil {
		c.takeQuery(v)
	}
	c.together()
	if _, prefix := c.at["prefix"]; len(c.faults) == 0 && (len(c.at) == 0 || prefix && len(c.at) == 1) {
		c.fault(0, "give at least one of "+keyList(topKeys), "the file has no pattern")
	}
}

// kind takes a pattern, or a list of them.
func (c *checker) kind(k Kind, n *yaml.Node) {
	patterns := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		patterns = n.Content
		if len(patterns) == 0 {
			c.fault(n.Line, "leave the key out", "%s: the list is empty", k)
		}
	}
	for _, p := range patterns {
		text, ok := c.text(p, string(k))
		if !ok {
			continue
		}
		if re := c.compile(p.Line, string(k), text, groups[k]); re != nil {
			c.lines[k] = append(c.lines[k], re)
		}
	}
}

func (c *checker) takeQuery(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		c.fault(n.Line, "it has the keys text or hex, answer, and port", "query is no mapping")
		return
	}
	var q query
	before := len(c.faults)
	c.mapping(n, "query.", []string{"text", "hex", "answer", "port"}, func(key string, value *yaml.Node) {
		text, ok := c.text(value, "query."+key)
		if !ok {
			return
		}
		switch key {
		case "port":
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil || port == 0 {
				c.fault(value.Line, "use 1 to 65535", "query.port: %q is no port", text)
			}
			q.port = uint16(port)
		case "answer":
			prefix := c.prefix
			c.prefix = "" // it is of lines
			q.answer = c.compile(value.Line, "query.answer", text, answerGroups)
			c.prefix = prefix
		case "text", "hex":
			if q.send != nil {
				c.fault(value.Line, "keep one", "query: text and hex are both given")
			}
			q.send = []byte(text)
			if key == "hex" {
				q.send = c.hex(value.Line, text)
			}
		}
	})
	if len(c.faults) == before && (q.send == nil || q.answer == nil) {
		c.fault(n.Line, "give text or hex, and answer", "query: the question or its answer is missing")
	}
	c.query = &q
}

func (c *checker) hex(line int, text string) []byte {
	raw, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(raw) > 1400 {
		c.fault(line, "write pairs of hexadecimal digits, at most 1400", "query.hex: %q is no datagram", text)
		return []byte{}
	}
	return raw
}

// together finds patterns that would mislead without another one.
func (c *checker) together() {
	given := func(k Kind) bool { return c.at[string(k)] > 0 }
	for _, pair := range [][2]Kind{{Join, Leave}, {Leave, Join}} {
		if given(pair[0]) && !given(pair[1]) {
			c.fault(c.at[string(pair[0])], "give join and leave, or players alone", "%s without %s: the players would never be right", pair[0], pair[1])
		}
	}
	if begins := max(c.at[string(MatchStarting)], c.at[string(MatchStarted)]); begins > 0 && !given(MatchEnded) && !given(Lobby) {
		c.fault(begins, "give match_ended or lobby", "a match begins and never ends")
	}
	if given(Lobby) && !given(MatchStarting) && !given(MatchStarted) {
		c.fault(c.at[string(Lobby)], "give match_starting or match_started", "lobby alone: a drain would not know that a match is on")
	}
	c.sameGroup()
}
