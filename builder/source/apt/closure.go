package apt

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// closure asks apt-get which packages an installation would fetch, and returns those that are wanted, by name.
func (s *state) closure(ctx context.Context, o *Options) ([]Package, error) {
	if err := s.exclude(ctx, o.Exclude); err != nil {
		return nil, err
	}
	recommends := "--no-install-recommends"
	if o.Recommends {
		recommends = "--install-recommends"
	}
	args := []string{
		"--option=quiet=0", // or it does not tell which package it chose for a virtual one
		"--yes", "--print-uris", "--option=Acquire::ForceHash=SHA256", recommends, "install", "--",
	}
	out, err := s.run(ctx, "apt-get", append(args, o.Packages...)...)
	if err != nil {
		return nil, err
	}
	if !out.ok {
		return nil, refusal(out)
	}
	packages, chosen, err := parseURIs(out.stdout)
	if err != nil {
		return nil, builder.Errorf(builder.Input, "use a mirror with SHA256 in its indexes", "resolve packages: %w", err)
	}
	if err := s.markNamed(packages, o.Packages, chosen); err != nil {
		return nil, err
	}
	packages = slices.DeleteFunc(packages, func(p Package) bool {
		return o.Dependencies == None && !p.Named || o.Dependencies == Only && p.Named
	})
	slices.SortFunc(packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	return packages, nil
}

// markNamed finds the packages that were asked for. apt-get takes a name that it does not know for a regular
// expression, or for an order to remove a package: then the name itself is not among the packages.
func (s *state) markNamed(packages []Package, specs []string, chosen map[string]string) error {
	for _, spec := range specs {
		name, _, _ := strings.Cut(spec, "=")
		if real, ok := chosen[name]; ok {
			name = real
		}
		i := slices.IndexFunc(packages, func(p Package) bool { return p.Name == name })
		if i < 0 {
			return unknownPackage(name)
		}
		packages[i].Named = true
	}
	for _, p := range packages {
		if p.Architecture != s.arch && p.Architecture != "all" {
			return builder.Errorf(builder.Input, "", "resolve packages: %s is for another architecture than %s", p.file(), s.arch)
		}
	}
	return nil
}

func unknownPackage(names ...string) error {
	return builder.Errorf(builder.Input,
		"check the name and whether the mirrors' suites and components have it for this architecture",
		"resolve packages: unknown package %s", strings.Join(names, ", "))
}

var (
	unknownLine   = regexp.MustCompile(`(?m)^E: (?:Unable to locate package|No packages found for) (\S+)$`)
	versionLine   = regexp.MustCompile(`(?m)^E: Version '([^']+)' for '([^']+)' was not found$`)
	candidateLine = regexp.MustCompile(`(?m)^E: Package '([^']+)' has no installation candidate$`)
	providerLine  = regexp.MustCompile(`(?m)^  ([a-z0-9][a-z0-9+.-]*)(?::\S+)? [^ \n]+(?: \(.*\))?$`)
)

// refusal is why apt-get would not install the packages.
func refusal(out output) error {
	if m := unknownLine.FindAllStringSubmatch(out.stderr, -1); m != nil {
		var names []string
		for _, match := range m {
			names = append(names, match[1])
		}
		return unknownPackage(names...)
	}
	if m := versionLine.FindStringSubmatch(out.stderr); m != nil {
		return builder.Errorf(builder.Input, "see which versions the mirrors have with: apt-cache policy "+m[2],
			"resolve packages: there is no version %s of package %s", m[1], m[2])
	}
	if m := candidateLine.FindStringSubmatch(out.stderr); m != nil {
		return noCandidate(m[1], out.stdout)
	}
	if _, text, ok := strings.Cut(out.stdout, "The following packages have unmet dependencies:"); ok {
		return builder.Errorf(builder.Input, "choose versions and mirrors that fit each other, or exclude a package",
			"resolve packages: unmet dependencies: %s", shorten(text))
	}
	return builder.Errorf(builder.Input, "", "resolve packages: apt-get refused: %s", shorten(out.stderr))
}

// noCandidate is about a package that is only known because others provide it or mention it.
func noCandidate(name, stdout string) error {
	var providers []string
	if _, list, ok := strings.Cut(stdout, "Package "+name+" is a virtual package provided by:"); ok {
		list, _, _ = strings.Cut(list, "\n\n")
		for _, m := range providerLine.FindAllStringSubmatch(list, 20) {
			providers = append(providers, m[1])
		}
		slices.Sort(providers)
	}
	if len(providers) == 0 {
		return unknownPackage(name)
	}
	return builder.Errorf(builder.Input, "name one of them: "+strings.Join(providers, ", "),
		"resolve packages: %s is a virtual package that several packages provide", name)
}

func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 1000 {
		text = text[:1000] + "…"
	}
	return text
}

// exclude makes apt believe that the packages are installed, in the version that it would install.
func (s *state) exclude(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return s.assume(nil)
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	out, err := s.run(ctx, "apt-cache", append([]string{"show", "--no-all-versions", "--"}, names...)...)
	if err != nil {
		return err
	}
	status, found := assumed(out.stdout)
	var missing []string
	for _, name := range names {
		if !found[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return unknownPackage(missing...)
	}
	return s.assume(status)
}

// assumed turns apt-cache's description of packages into a status file in which they are installed and need nothing.
func assumed(show string) (status []byte, found map[string]bool) {
	var b bytes.Buffer
	found = map[string]bool{}
	keep := false
	for line := range strings.Lines(show) {
		field, value, isField := strings.Cut(line, ": ")
		switch {
		case line == "\n":
			b.WriteString("\n")
			keep = false
		case line[0] == ' ' || line[0] == '\t': // continuation
		case isField:
			keep = slices.Contains([]string{"Package", "Version", "Architecture", "Multi-Arch", "Provides", "Maintainer"}, field)
		}
		if keep {
			b.WriteString(line)
		}
		if keep && field == "Package" {
			found[strings.TrimSpace(value)] = true
			b.WriteString("Status: install ok installed\n")
		}
	}
	return b.Bytes(), found
}
