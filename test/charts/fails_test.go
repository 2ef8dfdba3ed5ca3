package charts_test

import (
	"regexp"
	"strings"
)

// fails finds what templates say when they refuse values.
var fails = regexp.MustCompile(`(?:fail|required) \(?(?:printf )?"((?:[^"\\]|\\.)*)"`)

// matches says whether a message, or its beginning, was made with a format of printf.
func matches(format, message string) bool {
	pattern := regexp.QuoteMeta(format)
	pattern = regexp.MustCompile(`%[sd]`).ReplaceAllString(pattern, `.*`)
	if regexp.MustCompile(`^` + pattern).MatchString(message) {
		return true
	}
	// The table may have the beginning only.
	literal, _, _ := strings.Cut(strings.SplitN(format, ": ", 2)[len(strings.SplitN(format, ": ", 2))-1], "%")
	return len(literal) > 8 && strings.Contains(message, literal)
}
