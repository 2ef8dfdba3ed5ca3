package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is a line of `go test -json`: of a test, of a package, or of a build.
type event struct {
	Action, Package, Test string
	ImportPath            string // of a build, which has no Package
	FailedBuild           string // of a package: the build that it lacks
	Output                string
	Elapsed               float64
}

// summary collects events.
type summary struct {
	allow                   allowList
	outputs                 map[string]string // by test, package or build; forgotten when it passes
	passed, failed, skipped []string
	broken                  []string // packages in which a test failed
}

func (s *summary) read(r io.Reader, progress io.Writer) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Fprintln(progress, in.Text()) // the go command itself speaks
			continue
		}
		s.add(e, progress)
	}
	return in.Err()
}

func (s *summary) add(e event, progress io.Writer) {
	name := e.Package
	if e.Test != "" {
		name += "." + e.Test
	}
	switch e.Action {
	case "output":
		s.outputs[name] += e.Output
	case "build-output":
		s.outputs[e.ImportPath] += e.Output
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.addPackage(e, progress)
			return
		}
		s.addTest(e.Action, name, e.Package)
	}
}

func (s *summary) addTest(action, name, pkg string) {
	switch action {
	case "pass":
		s.passed = append(s.passed, name)
		delete(s.outputs, name)
	case "fail":
		s.failed = append(s.failed, name)
		s.broken = append(s.broken, pkg)
	case "skip":
		s.skipped = append(s.skipped, name)
	}
}

func (s *summary) addPackage(e event, progress io.Writer) {
	word := map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action]
	if word == "" {
		return // no test files
	}
	fmt.Fprintf(progress, "%-5s %-70s %6.1fs\n", word, e.Package, e.Elapsed)
	if e.Action == "fail" && !slices.Contains(s.broken, e.Package) {
		s.failed = append(s.failed, e.Package)
		s.outputs[e.Package] = s.outputs[e.FailedBuild] + s.outputs[e.Package]
	}
}

func (s *summary) print(w io.Writer) {
	slices.Sort(s.failed)
	slices.Sort(s.skipped)
	for _, name := range s.failed {
		fmt.Fprintf(w, "\nFAIL  %s\n%s", name, s.outputs[name])
	}
	for _, name := range s.skipped {
		word := "skip "
		if !s.allow.has(s.reason(name)) {
			word = "SKIP, which the allow-list does not have:"
		}
		fmt.Fprintf(w, "%s %s: %s\n", word, name, s.reason(name))
	}
	fmt.Fprintf(w, "\n%s\n", s.totals())
}

// frame matches the lines that the testing package adds around a test's own.
var frame = regexp.MustCompile(`^\s*(=== |--- )`)

// position matches the place that the testing package puts in front of a test's text.
var position = regexp.MustCompile(`^\S+\.go:\d+: `)

// reason is what the test said when it was skipped.
func (s *summary) reason(name string) string {
	var out []string
	for line := range strings.Lines(s.outputs[name]) {
		if text := strings.TrimSpace(line); text != "" && !frame.MatchString(line) {
			out = append(out, position.ReplaceAllString(text, ""))
		}
	}
	return strings.Join(out, " ")
}

func (s *summary) totals() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", len(s.passed), len(s.failed), len(s.skipped))
}

func (s *summary) verdict() error {
	switch {
	case len(s.failed) > 0:
		return fmt.Errorf("%d failed", len(s.failed))
	case len(s.passed) == 0:
		return errors.New("no test ran")
	}
	for _, name := range s.skipped {
		if !s.allow.has(s.reason(name)) {
			return fmt.Errorf("%s was skipped for a reason that is not allowed: %s", name, s.reason(name))
		}
	}
	return nil
}
