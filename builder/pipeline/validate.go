package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pitcrew-dev/pitcrew/builder"
)

var (
	platformPattern = regexp.MustCompile(`^linux/(amd64|arm64)$`)
	// Repository paths and tags as in the OCI distribution spec.
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	packagePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$`)
	portPattern       = regexp.MustCompile(`^([1-9][0-9]{0,4})(/(tcp|udp|sctp))?$`)
	ownerPattern      = regexp.MustCompile(`^[0-9]{1,9}:[0-9]{1,9}$`)
	modePattern       = regexp.MustCompile(`^0?[0-7]{3,4}$`)
	codecPattern      = regexp.MustCompile(`^(auto|none|gzip(:[1-9])?|zstd(:([1-9]|1[01]))?)$`)
	signalPattern     = regexp.MustCompile(`^(SIG[A-Z0-9+-]+|[0-9]{1,2})$`)
)

func (c *checker) validate(p *Pipeline) {
	c.match("apiVersion", p.APIVersion, regexp.MustCompile("^"+regexp.QuoteMeta(APIVersion)+"$"), "write apiVersion: "+APIVersion)
	c.match("kind", p.Kind, regexp.MustCompile("^"+Kind+"$"), "write kind: "+Kind)
	if len(p.Platforms) == 0 {
		c.fault("platforms", "for example [linux/amd64, linux/arm64]", "is missing")
	}
	c.platforms("platforms", p.Platforms)
	c.match("repository", p.Repository, repositoryPattern, "lower case words joined by / . _ or -, without registry and tag")
	for i, t := range p.Tags {
		c.match(fmt.Sprintf("tags[%d]", i), t, tagPattern, "letters, digits, _ . -, at most 128")
	}
	for k := range p.Annotations {
		if strings.HasPrefix(k, "dev.pitcrew.") {
			c.fault("annotations."+k, "use another prefix", "dev.pitcrew. is for builder itself")
		}
	}
	phases := p.Each()
	if len(phases) == 0 {
		c.fault("phases", "write at least one of assets, base, code, server", "is empty")
	}
	for _, np := range phases {
		c.phase("phases."+string(np.Name), np.Name, np.Phase)
	}
	c.writtenTwice(phases)
}

func (c *checker) match(path, value string, pattern *regexp.Regexp, hint string) {
	switch {
	case value == "":
		c.fault(path, hint, "is missing")
	case !pattern.MatchString(value):
		c.fault(path, hint, "%q is not valid", value)
	}
}

func (c *checker) optional(path, value string, pattern *regexp.Regexp, hint string) {
	if value != "" {
		c.match(path, value, pattern, hint)
	}
}

func (c *checker) platforms(path string, list []string) {
	seen := map[string]bool{}
	for i, p := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.match(at, p, platformPattern, "use linux/amd64 or linux/arm64")
		if seen[p] {
			c.fault(at, "", "%s is there twice", p)
		}
		seen[p] = true
	}
}

func (c *checker) globs(path string, globs []string) {
	for i, g := range globs {
		if !doublestar.ValidatePattern(g) || strings.HasPrefix(g, "/") {
			c.fault(fmt.Sprintf("%s[%d]", path, i), "globs are relative: **/*.png, tracks/**", "%q is not a valid glob", g)
		}
	}
}

func (c *checker) phase(at string, name builder.Phase, p *Phase) {
	c.optional(at+".repository", p.Repository, repositoryPattern, "lower case words joined by / . _ or -")
	c.optional(at+".compression", p.Compression, codecPattern, "use auto, none, gzip[:1-9] or zstd[:1-11]")
	c.globs(at+".replaces", p.Replaces)
	if n := p.Split.Layers; n < 0 || n > 100 {
		c.fault(at+".split.layers", "use 1 to 100", "%d is out of range", n)
	}
	if len(p.Sources) == 0 {
		c.fault(at+".sources", "write at least one source", "is missing")
	}
	for i := range p.Sources {
		c.source(fmt.Sprintf("%s.sources[%d]", at, i), name, &p.Sources[i])
	}
	c.config(at+".config", p.Config)
}

func (c *checker) config(at string, cfg Config) {
	for i, p := range cfg.Ports {
		c.match(fmt.Sprintf("%s.ports[%d]", at, i), p, portPattern, "for example 2759/udp")
	}
	c.optional(at+".user", cfg.User, ownerPattern, "numeric, for example 65532:65532: a name means nothing without the image's passwd")
	c.optional(at+".stopSignal", cfg.StopSignal, signalPattern, "for example SIGTERM")
	if cfg.WorkingDir != "" && !path.IsAbs(cfg.WorkingDir) {
		c.fault(at+".workingDir", "", "%q is not absolute", cfg.WorkingDir)
	}
	for k := range cfg.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			c.fault(at+".env", "", "%q is not a variable's name", k)
		}
	}
}

func (c *checker) source(at string, phase builder.Phase, s *Source) {
	kinds := 0
	if s.Dir != nil {
		kinds++
		c.local(at+".dir.path", s.Dir.Path, true)
	}
	if s.Apt != nil {
		kinds++
		c.apt(at+".apt", s.Apt)
	}
	if s.Files != nil {
		kinds++
		for i := range s.Files {
			c.fileEntry(fmt.Sprintf("%s.files[%d]", at, i), &s.Files[i])
		}
	}
	if kinds != 1 {
		c.fault(at, "write exactly one of dir, apt, files", "has %d kinds of source", kinds)
	}
	c.globs(at+".include", s.Include)
	c.globs(at+".exclude", s.Exclude)
	c.platforms(at+".platforms", s.Platforms)
	if phase == builder.Assets && len(s.Platforms) > 0 {
		c.fault(at+".platforms", "move what depends on the platform to base or code", "assets are the same for every platform")
	}
	c.optional(at+".owner", s.Owner, ownerPattern, "numeric, for example 0:0")
	if s.Destination != "" && path.Clean("/"+s.Destination) != "/"+strings.Trim(s.Destination, "/") {
		c.fault(at+".destination", "an absolute path without . and ..", "%q is not a clean path", s.Destination)
	}
}

func (c *checker) apt(at string, a *Apt) {
	if len(a.Packages) == 0 {
		c.fault(at+".packages", "", "is missing")
	}
	for i, p := range a.Packages {
		c.match(fmt.Sprintf("%s.packages[%d]", at, i), p, packagePattern, "a Debian package's name, or NAME=VERSION")
	}
	c.optional(at+".dependencies", a.Dependencies, regexp.MustCompile("^(all|none|only)$"), "use all, none or only")
}

func (c *checker) fileEntry(at string, f *File) {
	if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" {
		c.fault(at+".path", "for example /etc/stk/server_config.xml", "%q is not a clean absolute path", f.Path)
	}
	kinds := 0
	for _, is := range []bool{f.Content != nil, f.From != "", f.Link != "", f.Dir} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		c.fault(at, "write exactly one of content, from, link, dir", "has %d kinds of content", kinds)
	}
	if f.From != "" {
		c.local(at+".from", f.From, false)
	}
	c.optional(at+".mode", f.Mode, modePattern, `octal in quotes, for example "0755"`)
}

// local checks a path beside the pipeline, and that it is there.
func (c *checker) local(at, name string, wantDir bool) {
	if name == "" {
		c.fault(at, "", "is missing")
		return
	}
	if c.dir == nil || !fs.ValidPath(path.Clean(name)) {
		return // absolute, or above the pipeline: found out when it is read
	}
	info, err := fs.Stat(c.dir, path.Clean(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.fault(at, "paths are relative to the pipeline file", "there is no %q", name)
	case err == nil && info.IsDir() != wantDir:
		c.fault(at, "", "%q is %s", name, map[bool]string{true: "a folder, not a file", false: "a file, not a folder"}[info.IsDir()])
	}
}

// writtenTwice finds the paths that two files entries name; what folders and packages hold is compared when they are read.
func (c *checker) writtenTwice(phases []NamedPhase) {
	first := map[string]string{}
	for _, np := range phases {
		for i, s := range np.Phase.Sources {
			for j, f := range s.Files {
				at := fmt.Sprintf("phases.%s.sources[%d].files[%d].path", np.Name, i, j)
				target := path.Join("/", s.Destination, f.Path)
				was, ok := first[target]
				if ok && !replaced(np.Phase.Replaces, target) {
					c.fault(at, "write it once, or list it under the later phase's replaces", "%s is also written by %s", target, was)
				}
				first[target] = at
			}
		}
	}
}

func replaced(globs []string, target string) bool {
	for _, g := range globs {
		if ok, _ := doublestar.Match(g, strings.TrimPrefix(target, "/")); ok {
			return true
		}
	}
	return false
}
