package archtest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pitcrew-dev/pitcrew"

// pkg is what `go list -json` says about a package, with paths below the module.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// graph holds the module's packages by path.
type graph map[string]pkg

// load asks the go command, offline.
func load(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	cmd.Env = append(cmd.Environ(), "GOPROXY=off")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	g := graph{}
	for in := json.NewDecoder(strings.NewReader(strings.ReplaceAll(string(out), `"`+module+"/", `"./`))); ; {
		var p pkg
		err := in.Decode(&p)
		if err == io.EOF {
			return g
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		g.add(p)
	}
}

// add takes a package whose module-local paths begin with "./".
func (g graph) add(p pkg) {
	local := func(paths []string) []string {
		out := make([]string, len(paths))
		for i, path := range paths {
			out[i] = strings.TrimPrefix(path, "./")
		}
		return out
	}
	p.ImportPath = strings.TrimPrefix(p.ImportPath, "./")
	p.Imports, p.TestImports, p.XTestImports = local(p.Imports), local(p.TestImports), local(p.XTestImports)
	g[p.ImportPath] = p
}

// violations are the chains of imports that break a rule.
func (g graph) violations(rules []rule) []string {
	var out []string
	for _, r := range rules {
		for _, p := range g {
			if r.about(p.ImportPath) {
				out = append(out, g.breaches(r, p)...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (g graph) breaches(r rule, p pkg) []string {
	var out []string
	report := func(chain []string) {
		out = append(out, fmt.Sprintf("%s: %s", r.name, strings.Join(chain, " -> ")))
	}
	g.follow(r, []string{p.ImportPath}, p.Imports, map[string]bool{}, report)
	if r.tests {
		tested := []string{p.ImportPath + " (test)"}
		g.follow(r, tested, slices.Concat(p.TestImports, p.XTestImports), map[string]bool{p.ImportPath: true}, report)
	}
	return out
}

// follow reports each forbidden import once, with a chain that leads to it.
func (g graph) follow(r rule, chain, imports []string, seen map[string]bool, report func([]string)) {
	for _, path := range slices.Sorted(slices.Values(imports)) {
		if seen[path] {
			continue
		}
		seen[path] = true
		next := append(slices.Clone(chain), path)
		if r.forbids(path) {
			report(next)
			continue
		}
		if p, ours := g[path]; ours && !r.direct {
			g.follow(r, next, p.Imports, seen, report)
		}
	}
}

func (r rule) about(path string) bool {
	return slices.ContainsFunc(r.from, func(from string) bool {
		return path == from || !r.exact && below(path, from)
	}) && !within(path, r.except)
}

func (r rule) forbids(path string) bool { return within(path, r.never) && !within(path, r.except) }

// within reports whether path is one of the paths or lies below one. "a/..." is what lies below a, without a itself.
func within(path string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		parent, only := strings.CutSuffix(p, "/...")
		return path == parent && !only || below(path, parent)
	})
}

func below(path, parent string) bool {
	return parent == "." || strings.HasPrefix(path, parent+"/")
}
