// Command testsummary reads `go test -json` and prints what failed in full, why tests were skipped, and the totals
// as the last line: "N passed, N failed, N skipped". It exits with 1 if no test ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

type summary struct {
	outputs                 map[string]*strings.Builder
	passed, failed, skipped []string
}

func main() {
	s, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsummary: error:", err)
		os.Exit(1)
	}
	s.print(os.Stdout)
	if len(s.passed) == 0 || len(s.failed) > 0 {
		os.Exit(1)
	}
}

func read(r io.Reader) (*summary, error) {
	s := &summary{outputs: map[string]*strings.Builder{}}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Println(in.Text()) // a build failure's plain text
			continue
		}
		s.add(e)
	}
	return s, in.Err()
}

func (s *summary) add(e event) {
	name := e.Package
	if e.Test != "" {
		name += "." + e.Test
	}
	switch e.Action {
	case "output", "build-output":
		if s.outputs[name] == nil {
			s.outputs[name] = &strings.Builder{}
		}
		s.outputs[name].WriteString(e.Output)
	case "pass":
		if e.Test == "" {
			fmt.Printf("ok    %-70s %6.1fs\n", e.Package, e.Elapsed)
			return
		}
		s.passed = append(s.passed, name)
		delete(s.outputs, name)
	case "fail":
		s.failed = append(s.failed, name)
	case "skip":
		if e.Test != "" {
			s.skipped = append(s.skipped, name)
		}
	}
}

func (s *summary) print(w io.Writer) {
	for _, name := range slices.Sorted(slices.Values(s.failed)) {
		fmt.Fprintf(w, "\nFAIL  %s\n", name)
		if out := s.outputs[name]; out != nil {
			fmt.Fprint(w, out.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.outputs)) {
		if strings.HasSuffix(name, "[build failed]") {
			fmt.Fprint(w, s.outputs[name].String())
		}
	}
	for _, name := range s.skipped {
		fmt.Fprintf(w, "skip  %s\n", name)
		if out := s.outputs[name]; out != nil {
			for line := range strings.Lines(out.String()) {
				if !strings.HasPrefix(strings.TrimSpace(line), "---") && !strings.HasPrefix(line, "===") {
					fmt.Fprint(w, "      ", line)
				}
			}
		}
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", len(s.passed), len(s.failed), len(s.skipped))
}
