// Command testsummary reads `go test -json` and prints one line for each package, what failed in full, why tests were
// skipped, and as the last line the totals: "N passed, N failed, N skipped". Subtests count like tests; a package
// counts as failed only if no test in it did (it does not build, or its TestMain failed).
//
// With -allow FILE, a skip whose reason matches none of the file's regular expressions fails the run. With -totals
// FILE, the totals go to that file too. It exits with 1 if something failed or nothing ran.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary: error:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("testsummary", flag.ContinueOnError)
	allow := flags.String("allow", "", "file of regular expressions for reasons to skip")
	totals := flags.String("totals", "", "file that the totals are written to as well")
	if err := flags.Parse(args); err != nil {
		return err
	}
	list, err := readAllowList(*allow)
	if err != nil {
		return err
	}
	s := summary{outputs: map[string]string{}, allow: list}
	if err := s.read(stdin, stdout); err != nil {
		return fmt.Errorf("read test events: %w", err)
	}
	s.print(stdout)
	if *totals != "" {
		if err := os.WriteFile(*totals, []byte(s.totals()+"\n"), 0o644); err != nil {
			return fmt.Errorf("write totals: %w", err)
		}
	}
	return s.verdict()
}
