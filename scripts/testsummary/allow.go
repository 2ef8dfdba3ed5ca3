package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// allowList knows for which reasons a test may be skipped.
type allowList struct {
	all     bool
	reasons []*regexp.Regexp
}

// readAllowList reads a regular expression a line; "#" begins a comment. Without a file every reason is good.
func readAllowList(file string) (allowList, error) {
	if file == "" {
		return allowList{all: true}, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return allowList{}, fmt.Errorf("read allow-list: %w", err)
	}
	var out allowList
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		re, err := regexp.Compile(line)
		if err != nil {
			return allowList{}, fmt.Errorf("read allow-list %s: %w", file, err)
		}
		out.reasons = append(out.reasons, re)
	}
	return out, nil
}

func (a allowList) has(reason string) bool {
	return a.all || slices.ContainsFunc(a.reasons, func(re *regexp.Regexp) bool { return re.MatchString(reason) })
}
